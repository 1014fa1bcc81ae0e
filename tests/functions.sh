# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# For tests that drive a lab as an operator would. Source it with the build folder as first argument of the test:
#   . "$(dirname "$0")/../functions.sh" "$1"
set -Eeuo pipefail
shopt -s inherit_errexit
trap 'echo "failed at ${BASH_SOURCE[0]}:$LINENO: $BASH_COMMAND" >&2' ERR
tests=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
build=$(cd "$1" && pwd)
export PATH=$build/stage/usr/local/bin:$PATH
linux=$build/guests/linux
checker=$build/tests/guests/checker/checker.elf
observer=$build/tests/tools/observer
# Each test has a lab of its own, so that one that is left over can never be mistaken for this one's.
lab_name=gwt$$
lab_dir=/run/gwt-$$
export GODWIT_LAB_DIR=$lab_dir GODWIT_CONFIG=$lab_dir/cli.conf
cleanups=()

cleanup() {
    local status=$? at
    trap - EXIT
    # A second Ctrl-C must not stop the cleaning up.
    trap '' INT TERM
    for ((at = ${#cleanups[@]} - 1; at >= 0; at--)); do
        eval "${cleanups[at]}" || echo "clean-up failed: ${cleanups[at]}" >&2
    done
    exit "$status"
}
trap cleanup EXIT
trap 'exit 130' INT TERM
on_exit() { cleanups+=("$1"); }

fail() {
    echo "FAILED: $*" >&2
    exit 1
}
skip() {
    echo "skipped: $*"
    exit 77
}
say() { echo "-- $*"; }

# wait_until SECONDS WHAT COMMAND…: until the command succeeds. A lane whose hosts are themselves emulated waits longer for all.
slowness=1
wait_until() {
    local deadline=$((SECONDS + $1 * slowness)) what=$2
    shift 2
    until "$@"; do
        [ $SECONDS -lt $deadline ] || fail "waited too long for $what"
        sleep 0.1
    done
}

lab_up() {
    on_exit lab_end
    godwit lab up --name "$lab_name" "$@"
}
lab_end() {
    if [ "${status:-0}" != 0 ]; then
        tail -n 40 "$lab_dir"/log/*.log || true
    fi
    godwit lab down --name "$lab_name" >/dev/null
}

# pids_in NODE PROGRAM: processes of that name (as in /proc/PID/comm) in a namespace of the lab
pids_in() {
    local pid
    for pid in $(ip netns pids "$lab_name-$1"); do
        if [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = "$2" ]; then
            echo "$pid"
        fi
    done
}
# prints PATTERN COMMAND…: it succeeds and one of its lines is like that. (In a pipe grep -q would end the command before its last words, and pipefail take that for a failure.)
prints() {
    local output
    output=$("${@:2}" 2>/dev/null) && grep -q -- "$1" <<<"$output"
}
console_has() { prints "$2" godwit vm console "$1" --log; }
task_is_over() { godwit task show "$1" --json 2>/dev/null | jq -e '.ended != null' >/dev/null; }
# agent_listens HOST: its agent takes connections. agent_restart HOST [CHANGE…]: with a change of its files, made while it is off; the manager has it again.
agent_listens() { [ -n "$(ip netns exec "$lab_name-$1" ss -tlnH 'sport = :8443')" ]; }
has_no_agent() { [ -z "$(pids_in "$1" godwit-agent)" ]; }
host_is_connected() { [ "$(godwit host show "$1" --json | jq -r .state)" = connected ]; }
agent_restart() {
    local host=$1
    shift
    godwit lab service stop "$host"
    # Else what listens afterwards may be the old one.
    wait_until 30 "the agent of $host to end" has_no_agent "$host"
    [ $# = 0 ] || "$@"
    godwit lab service start "$host"
    wait_until 30 "the agent of $host" agent_listens "$host"
    wait_until 30 "host $host" host_is_connected "$host"
}
vm_state() { godwit vm show "$1" --json | jq -r .state; }
vm_host() { godwit vm show "$1" --json | jq -r .host; }

# linux_vm NAME HOST MEMORY CPUS APPEND [DISK]: a Linux guest with a network, ready. Its address is 198.18.3.10 unless gw.ip says else.
linux_vm() {
    local name=$1 host=$2 memory=$3 cpus=$4 append=$5 disk=${6:-}
    godwit vm create "$name" --memory "$memory" --cpus "$cpus" --host "$host" --kernel "$linux/vmlinuz" --initrd "$linux/initrd" \
        --append "console=ttyS0 quiet gw.ip=198.18.3.10/24 $append" --network vmnet ${disk:+--disk "$disk"} --start
    wait_until 60 "the guest $name to be ready" console_has "$name" "GUEST ready"
}
# checker_vm NAME HOST MEMORY CPUS ACCEL APPEND [OPTION…]: the self-checking guest, its memory filled
checker_vm() {
    local name=$1
    godwit vm create "$1" --host "$2" --memory "$3" --cpus "$4" --accel "$5" --kernel "$checker" --append "vcpus=$4 sweep_ms=1500 $6" "${@:7}" --start
    wait_until 60 "the guest $name to be filled and to report" checker_reports "$name"
}
# The newest line of the checker's report. Where a guest left in the middle of a line, and came back in the middle of another, both are one.
checker_line() { godwit vm console "$1" --log | sed -n '/sweeps=.*sweeps=/d; /^CHK t_ms=.* cpu0=[0-9]/p' | tail -n 1; }
checker_reports() { [ -n "$(checker_line "$1")" ]; }
checker_field() { checker_line "$1" | tr ' ' '\n' | sed -n "s/^$2=//p"; }
# checker_is_whole NAME: it still works, and found nothing wrong, over one more whole sweep of its memory
checker_is_whole() {
    local name=$1 before bad
    # After a move the log begins anew on the other host.
    wait_until 30 "a report of $name" checker_reports "$name"
    before=$(checker_field "$name" sweeps)
    wait_until 120 "one more sweep of $name" checker_swept "$name" $((before + 2))
    bad=$(checker_field "$name" bad)
    [ "$bad" = 0 ] || fail "$name found $bad bad pages: $(checker_line "$name")"
}
checker_swept() { [ "$(checker_field "$1" sweeps)" -ge "$2" ]; }

# migrate NAME TO [OPTION…]: the task's document on stdout; fails if the move fails
migrate() {
    local name=$1 to=$2
    shift 2
    godwit vm migrate "$name" --to "$to" "$@" --json 2>/dev/null
}
# need_qemu10: sets qemu10 and qemu10_data (program and firmware, which QEMU's user can read wherever the build folder is), or skips the test.
# take_qemu10: sets them, or fails when it cannot be had.
need_qemu10() { take_qemu10 || skip "$(tail -n 1 <<<"$qemu10_said")"; }
take_qemu10() {
    local status=0
    qemu10_said=$("$tests/tools/get-qemu10" "$build" 2>&1) || status=$?
    echo "$qemu10_said"
    [ $status != 3 ] || return 1
    [ $status = 0 ] || fail "get-qemu10 failed with status $status"
    qemu10=$build/qemu10/qemu-system-x86_64
    qemu10_data=/run/gwt-$$-qemu10
    on_exit "rm -rf $qemu10_data"
    cp -r "$build/qemu10/data" "$qemu10_data"
    chmod 755 "$qemu10_data"
}
disk_image() {
    local path=$lab_dir/datastore/$1.qcow2
    qemu-img create -q -f qcow2 "$path" "$2"
    chown 64101:64101 "$path"
    echo "$path"
}

# observer_start / observer_line: the client outside. observer_line prints the JSON since the last call.
observer_start() {
    observer_log=$lab_dir/observer.json
    godwit lab exec client -- "$observer" 198.18.3.10 80 >"$observer_log" &
    observer_pid=$!
    on_exit "kill $observer_pid 2>/dev/null || true"
    wait_until 10 "the observer" observer_wrote 0
}
observer_line() {
    local lines
    lines=$(wc -l <"$observer_log")
    kill -USR1 "$observer_pid"
    wait_until 5 "the observer's report" observer_wrote "$lines"
    tail -n 1 "$observer_log"
}
observer_wrote() { [ "$(wc -l <"$observer_log")" -gt "$1" ]; }
# observer_answered COUNT: the open connection has had more than COUNT answers. Keeps the longest gaps of all its calls in gap_kept and gap_new (ms) until
# one succeeds.
gap_kept=0 gap_new=0 gaps_done=1
observer_answered() {
    local line
    line=$(observer_line)
    [ $gaps_done = 0 ] || gap_kept=0 gap_new=0
    gap_kept=$(jq --argjson so_far $gap_kept '[.gap_kept_ms, $so_far] | max' <<<"$line")
    gap_new=$(jq --argjson so_far $gap_new '[.gap_new_ms, $so_far] | max' <<<"$line")
    gaps_done=$([ "$(jq .answers_kept <<<"$line")" -gt "$1" ] && echo 1 || echo 0)
    [ "$gaps_done" = 1 ]
}
guest_says() { godwit lab exec client -- curl -sf -m 10 "http://198.18.3.10/$1"; }

# expect_error CODE-ID COMMAND…: the command must fail with exit 1 and this error id, and say a message
expect_error() {
    local id=$1 output status=0 found
    shift
    output=$("$@" --json 2>/dev/null) || status=$?
    [ "$status" = 1 ] || fail "exit $status instead of 1 from: $*"
    found=$(jq -r '.error.id' <<<"$output")
    [ "$found" = "$id" ] || fail "error id '$found' instead of '$id' from: $*: $output"
    jq -se 'length == 1 and (.[0].error.message // "" | length > 0)' <<<"$output" >/dev/null || fail "not one document with a message from: $*: $output"
    say "$id: $(jq -r '.error.message + " | fix: " + .error.fix' <<<"$output")"
}
