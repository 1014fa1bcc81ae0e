# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# How a move is held in each phase, by an operator's means: a process that the phase waits for is stopped. Each sets `task`, and returns while the move
# stands there; let_go lets it go on. Sourced by tests/fault/run, which sets from, to and with: options of the move; always: of each.

# The only process of that name on a host (or "mgr").
one_of() {
    local pids
    pids=$(pids_in "$1" "$2")
    [ "$(wc -w <<<"$pids")" = 1 ] || fail "not one $2 on $1: $pids"
    echo "$pids"
}
stopped=()
stop() {
    local pid
    pid=$(one_of "$1" "$2")
    kill -STOP "$pid"
    stopped+=("$pid")
}
go_on() {
    local pid
    pid=$(one_of "$1" "$2")
    kill -CONT "$pid"
}
# Those whose being stopped is the trouble stay so.
let_go() {
    local pid
    for pid in "${stopped[@]}"; do
        [[ " ${paused[*]} " == *" $pid "* ]] || kill -CONT "$pid" 2>/dev/null || true # it may be the one that was killed
    done
    stopped=()
}

task_json() { godwit task show "$task" --json; }
in_phase() { [ "$(task_json | jq -r .phase)" = "$1" ]; }
reach() { wait_until 20 "the phase $1" in_phase "$1"; }
begin() { task=$(godwit vm migrate vm --to "$to" --detach "${always[@]}" "$@" "${with[@]}"); }
is_copying() { task_json | jq -e '.phase == "copy" and (.bytes_on_wire // 0) > 0' >/dev/null; }

# How often a host's agent has said that.
said() { grep -c -- "$2" "$lab_dir/log/$1.log" || true; }
has_said() { [ "$(said "$1" "$2")" -gt "$3" ]; }
# wire FIELD: that counter of each connection of the migration network, as the destination sees it
wire() { godwit lab exec "$to" -- ss -tniH 'sport = :8000' | grep -o "$1:[0-9]*" | cut -d: -f2; }
# The connection with the least bytes is the one for control records; the device state is the only long one.
state_has_arrived() { [ "$(wire bytes_received | sort -n | head -n 1)" -gt 50000 ]; }
bytes_answered() { wire bytes_sent | awk '{sum += $1} END {print sum + 0}'; }
has_answered_more() { [ "$(bytes_answered)" -gt "$1" ]; }

hold_destination-check() {
    stop "$to" godwit-agent
    begin
    reach "destination check"
}
hold_source-check() {
    stop "$from" godwit-agent
    begin
    reach "source check and lock"
}
hold_shell() {
    hold_source-check
    stop "$to" godwit-agent
    go_on "$from" godwit-agent
    reach "destination shell"
}
hold_copy() {
    begin --bandwidth 4
    wait_until 20 "the copy" is_copying
}
# A shell's QEMU has no part in the copy, and all in the load of the device state.
loader=qemu-system-x86
hold_switch-over() {
    begin --bandwidth 6
    reach copy
    stop "$to" $loader
    reach "switch-over"
}
# The source's agent is stopped until READY has come, the destination's before COMMIT comes.
hold_given() {
    local answered before
    before=$(said "$from" ": GIVEN, epoch")
    hold_switch-over
    wait_until 20 "the device state to arrive" state_has_arrived
    stop "$from" godwit-agent
    answered=$(bytes_answered)
    go_on "$to" $loader
    wait_until 20 "READY" has_answered_more "$answered"
    stop "$to" godwit-agent
    go_on "$from" godwit-agent
    wait_until 20 "GIVEN" has_said "$from" ": GIVEN, epoch" "$before"
}
# All is over between the hosts; the manager does not know it yet, and the destination does not answer it.
hold_inventory() {
    local before
    before=$(said "$from" "(source): done")
    hold_given
    stop mgr godwitd
    go_on "$to" godwit-agent
    wait_until 20 "the source to be done" has_said "$from" "(source): done" "$before"
    stop "$to" godwit-agent
    go_on mgr godwitd
    reach inventory
}
