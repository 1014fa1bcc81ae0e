#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What is broken on a host, one thing after the other, is named by its doctor as a problem with cause and cure, and no more when it is mended: a packet filter, a hung
# and a dead agent, a hung and a dead manager, a port that another program has, an address, a bridge, a datastore, QEMU, a configuration. It needs neither agent nor manager.
. "$(dirname "$0")/../functions.sh" "$1"
lab_up --hosts 2
settings=$lab_dir/hosts/h1/agent.conf
on_h1() { ip netns exec "$lab_name-h1" "$@"; }
# look [OPTION…]: the doctor of h1; its document in $answer, its exit status in $status
look() {
    status=0
    answer=$(godwit lab exec h1 -- godwit doctor --config "$settings" --json "$@") || status=$?
    jq -se 'length == 1 and (.[0].checks | length > 20) and all(.[0].checks[]; .id != "" and .what != "" and .message != "" and
        (.verdict | IN("ok", "warning", "problem", "not-here")) and (.verdict == "ok" or .cause != "") and
        (.verdict == "ok" or .verdict == "not-here" or .fix != ""))' <<<"$answer" >/dev/null || fail "not as promised: $answer"
}
line() { jq -c --arg id "$1" --arg verdict "$2" '[.checks[] | select(.id == $id and .verdict == $verdict)][0]' <<<"$answer"; }
problems() { jq -r '[.checks[] | select(.verdict == "problem") | .id] | unique | join(" ")' <<<"$answer"; }
# must_be_well: no problem is left. What this machine lacks (KVM, a time server, idle cores) are warnings.
must_be_well() {
    look "$@"
    [ "$(problems)" = "" ] && [ $status = 0 ] || fail "status $status, problems: $(jq -c '.checks[] | select(.verdict == "problem")' <<<"$answer")"
}
# must_find IDS JQ…: these problems and no others; the first of them is as the filters say
must_find() {
    local ids=$1
    shift
    look
    [ "$(problems)" = "$ids" ] && [ $status = 1 ] || fail "status $status, problems '$(problems)' instead of '$ids': $(jq -c '.checks[] | select(.verdict == "problem")' <<<"$answer")"
    say "$(jq -r '.checks[] | select(.verdict == "problem") | "\(.id): \(.message); \(.cause); \(.fix)"' <<<"$answer")"
    is_so problem "${ids%% *}" "$@"
}
is_so() {
    local verdict=$1 id=$2 filter found
    shift 2
    found=$(line "$id" "$verdict")
    for filter in "$@"; do
        jq -e "$filter" <<<"$found" >/dev/null || fail "not so: $filter: $found"
    done
}
must_be_well
say "$(godwit lab exec h1 -- godwit doctor --config "$settings" | tail -n 1)"
agent=$(line agent ok | jq -r .arguments.pid)
is_so ok agent '.arguments.loop_late_ms != ""'
for id in kernel userfaultfd qemu tun enrolment ports firewall addresses address-duplicate bridges folders; do
    [ "$(line $id ok)" != null ] || fail "$id is not well: $answer"
done

say "packet filter"
on_h1 nft add table inet test
on_h1 nft 'add chain inet test in { type filter hook input priority 0; }'
on_h1 nft add rule inet test in tcp dport 8000 drop
must_find firewall '.arguments.port == "8000"' '.cause | test("chain in in table inet test")'
# The cure is a command.
cure=$(line firewall problem | jq -r '.fix | sub(";.*"; "")')
on_h1 $cure
must_be_well
on_h1 nft add rule inet test in meta length '>' 1300 drop
must_be_well
is_so warning firewall '.cause | test("condition")'
on_h1 nft flush chain inet test in
on_h1 nft 'chain inet test in { policy drop; }'
# Answers are dropped too.
must_find "enrolment firewall"
is_so problem firewall '.cause | test("policy of chain in")'
on_h1 nft delete table inet test
must_be_well

say "agent"
kill -STOP "$agent"
must_find agent ".arguments.pid == \"$agent\"" '.message | test("hangs")' '.cause | test("stopped by a signal")' '.fix | test("VMs run on")'
kill -CONT "$agent"
must_be_well
godwit lab service stop h1
must_find "agent ports" '.message | test("does not run")' '.fix | test("start")'
ip netns exec "$lab_name-h1" python3 -c 'import socket, time
s = socket.create_server(("198.18.2.11", 8000))
time.sleep(1000)' &
squatter=$!
on_exit "kill $squatter 2>/dev/null || true"
squatter_listens() { [ -n "$(on_h1 ss -tlnH 'sport = :8000')" ]; }
wait_until 20 "a program that takes the port" squatter_listens
must_find "agent ports"
jq -e 'any(.checks[]; .id == "ports" and .arguments.port == "8000" and (.cause | test("another program.*python3")))' <<<"$answer" >/dev/null || fail "$answer"
kill $squatter
godwit lab service start h1
wait_until 30 "the agent" agent_listens h1
wait_until 30 "host h1" host_is_connected h1
must_be_well

say "manager"
look_at_manager() { answer=$(godwit lab exec manager -- godwit doctor --config /nowhere --manager-config "$lab_dir/manager/manager.conf" --json) && status=0 || status=$?; }
look_at_manager
[ $status = 0 ] && [ "$(line manager ok)" != null ] && [ "$(line agent not-here)" != null ] || fail "$answer"
manager=$(line manager ok | jq -r .arguments.pid)
kill -STOP "$manager"
must_find enrolment '.message | test("does not answer at https://198.18.1.1:8400")'
look_at_manager
[ $status = 1 ] || fail "$answer"
is_so problem manager '.message | test("hangs")' ".arguments.pid == \"$manager\""
kill -CONT "$manager"
must_be_well
godwit lab service stop manager
must_find enrolment
look_at_manager
is_so problem manager '.message | test("does not run")'
godwit lab service start manager
manager_answers() { godwit host ls >/dev/null 2>&1; }
wait_until 30 "the manager" manager_answers

say "network"
on_h1 ip link set br0 down
must_find bridges '.message | test("is down")'
on_h1 ip link set br0 up
on_h1 ip link set eth-vm nomaster
must_be_well
is_so warning bridges '.message | test("br0 has no port but those of VMs")' '.fix | test("master br0")'
on_h1 ip link set eth-vm master br0
must_be_well
[ "$(line bridges warning)" = null ] || fail "the bridge is not well: $answer"
on_h1 ip link set eth-mgmt down
must_find "addresses enrolment" '.message | test("the address of the agent .* eth-mgmt, which is down")' '.fix | test("ip link set eth-mgmt up")'
on_h1 ip link set eth-mgmt up
sed -i 's/^bridge=br0/bridge=br9/' "$settings"
must_find bridges '.message | test("br9 does not exist")' '.arguments.network == "vmnet"'
is_so warning agent-config '.message | test("newer than the agent")' '.fix | test("restart godwit-agent")'
sed -i 's/^bridge=br9/bridge=br0/' "$settings"
must_be_well
sed -i 's/^addresses=.*/addresses=198.18.2.99/' "$settings"
must_find "addresses ports" '.arguments.address == "198.18.2.99"'
sed -i 's/^addresses=.*/addresses=198.18.2.11/' "$settings"
ip -n "$lab_name-h2" address add 198.18.2.11/24 dev eth-mig
mac=$(ip -j -n "$lab_name-h2" link show eth-mig | jq -r '.[0].address')
must_find address-duplicate ".cause | test(\"$mac\")" '.arguments.address == "198.18.2.11"'
ip -n "$lab_name-h2" address del 198.18.2.11/24 dev eth-mig
must_be_well

say "programs and configuration"
sed -i 's/^\[agent\]/&\nqemu=\/nowhere\/qemu/' "$settings"
must_find qemu '.arguments.path == "/nowhere/qemu"'
sed -i '/^qemu=/d' "$settings"
sed -i 's/^\[agent\]/&\nqemi=x/' "$settings"
must_find agent-config '.message | test("qemi")'
sed -i '/^qemi=/d' "$settings"
must_be_well

say "datastore"
store=$lab_dir/store
mkdir "$store"
mount -t tmpfs -o size=300m tmpfs "$store"
on_exit "umount -l $store"
# It is registered and never started: what the doctor looks at are the folders of its files.
godwit vm create web --host h1 --memory 64 --disk "$store/web.qcow2" >/dev/null
must_be_well
# The lab's own datastore has a line too.
jq -e --arg path "$store" 'any(.checks[]; .id == "datastores" and .verdict == "ok" and .arguments.path == $path)' <<<"$answer" >/dev/null || fail "no line for $store: $answer"
mount -o remount,ro "$store"
must_find datastores '.message | test("read-only")' '.fix | test("remount,rw")'
mount -o remount,rw "$store"
head -c 100M /dev/zero >"$store/fill"
must_be_well
is_so warning datastores '.cause | test("images that grow")'
umount -l "$store"
rmdir "$store"
must_find datastores '.cause | test("No such file")'
mkdir "$store"
# A file system whose server never answers, and then is gone: what a dead NFS server is.
if [ -c /dev/fuse ]; then
    "$tests/tools/hung-mount" "$store" &
    server=$!
    on_exit "kill $server 2>/dev/null || true"
    is_mounted() { grep -q "^hung $store " /proc/mounts; }
    wait_until 20 "a file system that hangs" is_mounted
    must_find datastores '.message | test("does not answer")'
    kill $server
    wait $server || true
    must_find datastores '.cause | test("not connected")' '.fix | test("umount -l")'
    umount -l "$store"
fi
mount -t tmpfs -o size=300m tmpfs "$store"
must_be_well

say "usage"
for wrong in "--from h1" "--from h1 --to h2 --bundle $lab_dir/b.tar.gz" "something"; do
    status=0
    # shellcheck disable=SC2086
    godwit doctor $wrong >/dev/null 2>&1 || status=$?
    [ $status = 2 ] || fail "status $status of: godwit doctor $wrong"
done
