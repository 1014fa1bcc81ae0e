#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Tokens, private keys, the one-time key and the ticket of a move and the secrets of its handover are, with LOG_LEVEL=debug, in no log, in no process'
# arguments or environment while it runs, in no answer to an operator, and not in a bundle. The secrets are the real ones, taken from the files that hold them.
export LOG_LEVEL=debug
. "$(dirname "$0")/../functions.sh" "$1"
command -v tcpdump >/dev/null || skip "no tcpdump"
lab_up --hosts 2
seen=$lab_dir/seen.pcap
ip netns exec "$lab_name-sw" tcpdump -q -n -U -Z root -i h1-mig -c 1 -w "$seen" \
    "tcp dst port 8000 and tcp[((tcp[12] & 0xf0) >> 2):4] = 0x52414d4d" 2>"$lab_dir/tcpdump.log" &
listener=$!
on_exit "kill $listener 2>/dev/null; wait $listener || true"
wait_until 20 "tcpdump" grep -q "listening on" "$lab_dir/tcpdump.log"
checker_vm vm h1 128 1 tcg "mb=48 rate=1 mode=page"
task=$(godwit vm migrate vm --to h2 --bandwidth 4 --detach)
shown=$lab_dir/shown
mkdir "$shown"
# The ticket is what somebody on the way hears; the key lies behind it in the memory of both jobs, where root alone can look.
keep_key() {
    python3 - "$seen" "$(pids_in h1 godwit-job)" "$(pids_in h2 godwit-job)" >"$lab_dir/ticket-and-key" 2>"$lab_dir/not-yet" <<'PYTHON'
import sys
heard = open(sys.argv[1], "rb").read()
at = heard.index(b"RAMMOVE\x1a")
ticket = heard[at + 16:at + 48]
keys = set()
for pid in sys.argv[2:]:
    stack = next(line for line in open("/proc/%s/maps" % pid) if line.rstrip().endswith("[stack]"))
    first, last = (int(digits, 16) for digits in stack.split()[0].split("-"))
    with open("/proc/%s/mem" % pid, "rb") as memory:
        memory.seek(first)
        words = memory.read(last - first)
    keys.add(words[words.rindex(ticket) + 32:words.rindex(ticket) + 64])
assert len(keys) == 1 and len(ticket) == 32, "the jobs do not have the same key behind the ticket"
print(ticket.hex(), keys.pop().hex())
PYTHON
}
wait_until 60 "the move's key" keep_key
# What everybody may look at, in all processes of the lab, again and again.
n_looks=0
look() {
    local pid
    for pid in $(for node in mgr h1 h2; do ip netns pids "$lab_name-$node"; done); do
        cat "/proc/$pid/cmdline" "/proc/$pid/environ" 2>/dev/null >>"$shown/processes" || true # it may have ended
        cat "/proc/$pid/comm" 2>/dev/null >>"$shown/names" || true
    done
    n_looks=$((n_looks + 1))
}
until task_is_over "$task"; do
    look
done
for name in godwitd godwit-agent godwit-door godwit-job godwit-guard qemu-system-x86; do
    grep -qx "$name" "$shown/names" || fail "no $name was seen"
done
[ "$(godwit task show "$task" --json | tee "$shown/task" | jq -r .state)" = success ] || fail "$(cat "$shown/task")"
godwit task show "$task" --timeline >"$shown/timeline"
godwit event ls --json >"$shown/events"
godwit token ls --json >"$shown/tokens"
for host in h1 h2; do
    godwit host show $host --json >"$shown/host-$host"
done
godwit vm show vm --json >"$shown/vm"
grep -q DEBUG "$lab_dir"/log/*.log || fail "the logs have no debug lines"
# Used and unused tokens of a host; where it enrols they are not seen either.
on_h1() { godwit lab exec h1 -- "$build/stage/usr/local/sbin/godwit-agent" "$@" --config "$lab_dir/hosts/h1/agent.conf"; }
token=$(godwit host enroll h1 --json | jq -r .token)
on_h1 enroll --manager https://198.18.1.1:8400 --token - <<<"$token" >"$shown/enrolled" 2>&1 || fail "$(cat "$shown/enrolled")"
godwit host enroll h2 --json | jq -r .token >"$lab_dir/unused-token"
# A bundle for somebody elsewhere, also when an operator left a token where none belongs.
echo "# $(sed -n s/^token=//p "$lab_dir/cli.conf")" >>"$lab_dir/hosts/h1/agent.conf"
godwit lab exec h1 -- godwit doctor --config "$lab_dir/hosts/h1/agent.conf" --manager-config "$lab_dir/manager/manager.conf" --bundle "$lab_dir/bundle.tar.gz" \
    >"$shown/doctor" 2>&1 || true # the manager's port is not in this host's namespace, which is a problem
tar -C "$shown" --transform 's,/,-,g' -xzf "$lab_dir/bundle.tar.gz"
for name in doctor.json absent.txt journals.txt configs-agent.conf versions-qemu.txt versions-godwitd.txt network-addresses.txt manager-tasks.json "logs-tasks-$task.source.log" \
    "logs-manager-tasks-$task.manager.log"; do
    [ -s "$shown/godwit-doctor-$name" ] || fail "the bundle has no $name: $(ls "$shown"; cat "$shown/godwit-doctor-absent.txt")"
done
grep -qF "# [removed]" "$shown/godwit-doctor-configs-agent.conf" || fail "$(cat "$shown/godwit-doctor-configs-agent.conf")"
[ -z "$(find "${TMPDIR:-/tmp}" -maxdepth 1 -name 'godwit-doctor-*' -newer "$lab_dir/bundle.tar.gz")" ] || fail "the bundle left its folder behind"

python3 - "$lab_dir" "$shown" "$token" <<'PYTHON'
import glob, json, os, re, sqlite3, struct, sys
lab, shown, enrolment = sys.argv[1:]
secrets = {}  # what it is -> the bytes that must not be seen


def add(what, raw):
    """As bytes, and as the hexadecimal digits in which JSON holds it; half of it would be too much."""
    secrets[what] = raw[:len(raw) // 2]
    secrets[what + ", in hexadecimal"] = raw.hex()[:len(raw)].encode()


def add_text(what, text):
    secrets[what] = text.strip().encode()


def add_pem(what, text):
    begin = text.index("PRIVATE KEY-----\n") + len("PRIVATE KEY-----\n")
    # The first bytes of a key's encoding are the same in all keys.
    add_text(what, text[begin:text.index("\n-----END", begin)].replace("\n", "")[-60:])


add_text("bearer token", re.search(r"token=(\S+)", open(lab + "/cli.conf").read())[1])
add_text("enrolment token that was used", enrolment)
add_text("enrolment token that was not", open(lab + "/unused-token").read())
for path in glob.glob(lab + "/hosts/*/state/tls/identity.json"):
    add_pem("key of the host in " + path, json.load(open(path))["key"])
for path in glob.glob(lab + "/manager/state/*.key"):
    add_pem(path, open(path).read())
for name, digits in zip(("ticket", "key"), open(lab + "/ticket-and-key").read().split()):
    add("the move's " + name, bytes.fromhex(digits))
database = sqlite3.connect("file:%s/manager/state/manager.db?mode=ro" % lab, uri=True)
for document in (text for row in database.execute("SELECT document, timeline, internals FROM tasks") for text in row):
    assert not re.search(r'"(key|ticket|commit|verdict_secret)":"(?!0*")[0-9a-f]+"', document), "the database holds a secret of a move"
# The journals: COMMIT is the source's secret; READY and the verdicts are the destination's. Each has the others' hashes, which are public.
slot = struct.Struct("=IIQIIQ40s160s")
n_journals = 0
for path in glob.glob(lab + "/hosts/*/state/vms/*.journal"):
    data = open(path, "rb").read()
    for at in (0, 4096):
        magic, _, _, step, is_destination, epoch, session, five = slot.unpack_from(data, at)
        if magic != 0x6c6e726a:
            continue
        n_journals += 1
        parts = [five[i * 32:i * 32 + 32] for i in range(5)]
        for number, name in enumerate(["COMMIT", "READY", "RUNNING", "ABORTED", "RETURNED"]):
            if (number > 0) == bool(is_destination) and parts[number].strip(b"\0"):
                add("%s of step %d in %s" % (name, step, path), parts[number])
assert n_journals >= 4, "only %d journal entries" % n_journals
for kind in ("bearer", "enrolment", "key of the host", "ca.key", "the move's key", "the move's ticket", "COMMIT", "READY", "RUNNING"):
    assert any(kind in what for what in secrets), "no secret of the kind '%s' was found" % kind

places = [path for pattern in ("/log/*.log", "/log/tasks/*", "/hosts/*/tasks/*", "/hosts/*/run/vms/*/*.log") for path in glob.glob(lab + pattern)]
places += [path for path in glob.glob(shown + "/*") if os.path.isfile(path)]
assert len(places) > 10
found = 0
for path in places:
    data = open(path, "rb").read()
    for what, secret in secrets.items():
        if secret in data:
            print("FAILED: %s shows %s" % (path, what))
            found += 1
    for match in re.findall(rb"gw[te]1\.[\w.-]*[0-9a-f]{32}", data):
        print("FAILED: %s shows a token: %s..." % (path, match[:12].decode()))
        found += 1
print("-- %d secrets in %d forms were looked for in %d places" % (len(secrets), len(secrets), len(places)))
sys.exit(1 if found else 0)
PYTHON
say "the processes were looked at $n_looks times"
