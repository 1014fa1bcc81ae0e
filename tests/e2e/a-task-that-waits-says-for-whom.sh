#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Whoever holds a move up, an agent, a job, a QEMU or a network, is named by the task while it waits, with what it is waited for and since when; when the wait
# ends the move, its error says who waited, how long, and what was heard last. What was stopped goes on, and the next move succeeds.
. "$(dirname "$0")/../functions.sh" "$1"
lab_up --hosts 2
checker_vm vm h1 256 1 tcg "mb=64 rate=4 mode=page"

task_field() { godwit task show "$task" --json | jq -r ".$1 // \"\""; }
in_phase() { [ "$(task_field phase)" = "$1" ]; }
copying() { in_phase copy && [ "$(task_field bytes_on_wire)" -gt 4000000 ]; }
waits_for() { [[ $(task_field waiting_for) == *"$1"* ]]; }
ended() { [[ $(task_field state) =~ ^(success|error|cancelled)$ ]]; }
move() { task=$(godwit vm migrate vm --to h2 --detach "$@"); }
vm_is_free() { [ "$(godwit vm show vm --json | jq -r '.state + .move + .host')" = runningh1 ] && [ "$(godwit task show "$task" --json | jq '.ended != null')" = true ]; }

frozen=()
freeze() { # PID…
    fault=$(date +%s)
    kill -STOP "$@"
    frozen+=("$@")
}
thaw() {
    [ ${#frozen[@]} = 0 ] || kill -CONT "${frozen[@]}" 2>/dev/null || true
    frozen=()
}
on_exit thaw

# says WHAT: the task waits for it, and says so since less than 10 s after the fault, in 'task show' and to those who follow it
says() {
    wait_until 30 "the task to wait for $1, which waits for '$(task_field waiting_for)' in $(task_field phase)" waits_for "$1"
    local since
    since=$(date -d "$(task_field waiting_since)" +%s)
    [ $((since - fault)) -lt 10 ] || fail "the wait for $1 was noticed $((since - fault)) s after the fault"
    say "$(task_field phase): waits for $(task_field waiting_for)"
    prints "waiting for .*$1" godwit task show "$task" || fail "task show does not say it: $(godwit task show "$task")"
    timeout 3 godwit task follow "$task" >"$lab_dir/followed" 2>&1 || true
    grep -q "waiting for .*$1" "$lab_dir/followed" || fail "task follow does not say it: $(cat "$lab_dir/followed")"
}
# fails ID SIDE [WHOM]: the task ends with this error, which says how long was waited, and has a cause, with WHOM in it
fails() {
    wait_until 90 "the task to end" ended
    local error
    error=$(godwit task show "$task" --json | jq -c .error)
    say "$(jq -r '"\(.id): \(.message) | cause: \(.cause)"' <<<"$error")"
    jq -e --arg id "$1" --arg side "$2" --arg whom "${3-}" '.id == $id and .side == $side and .cause != "" and (.cause | contains($whom)) and ([.arguments | keys[] | select(test("_m?s$"))] != [])' \
        <<<"$error" >/dev/null || fail "not $1 of the $2: $error"
}
# succeeds: what held the move up goes on, and so does the move; the VM comes back
succeeds() {
    thaw
    wait_until 90 "the task to end" ended
    [ "$(task_field state)" = success ] || fail "it failed: $(godwit task show "$task" --json | jq -c .error)"
    back=$(migrate vm h1) || fail "the way back failed: $(jq -c .error <<<"$back")"
    wait_until 30 "the VM to be free" vm_is_free
}
stays() {
    thaw
    wait_until 60 "the VM to be free on h1" vm_is_free
    checker_is_whole vm
}

say "the destination's agent is stopped before it is asked"
freeze "$(pids_in h2 godwit-agent)"
move
says "host 'h2' to check whether the VM can come"
succeeds

say "the source's agent is stopped in the copy"
move --bandwidth 10
wait_until 30 "the copy" copying
freeze "$(pids_in h1 godwit-agent)"
says "host 'h1' to say how the move stands"
succeeds

say "the management network of the source is cut in the copy"
move --bandwidth 10
wait_until 30 "the copy" copying
fault=$(date +%s)
ip -n "$lab_name-h1" link set eth-mgmt down
says "host 'h1' to say how the move stands"
ip -n "$lab_name-h1" link set eth-mgmt up
succeeds

say "the migration network is cut in the copy"
move --bandwidth 10 --resume-limit 5
wait_until 30 "the copy" copying
fault=$(date +%s)
ip -n "$lab_name-h1" link set eth-mig down
says "the migration network from host 'h1' to host 'h2'"
fails resume-limit source
ip -n "$lab_name-h1" link set eth-mig up
stays

say "the destination's job is stopped in the copy"
move --bandwidth 10
wait_until 30 "the copy" copying
freeze "$(pids_in h2 godwit-job)"
fails job-stopped destination
stays

say "the source's QEMU is stopped in the copy"
move --bandwidth 20
wait_until 30 "the copy" copying
freeze "$(pids_in h1 qemu-system-x86)"
says "host 'h1' to stop the guest"
wait_until 60 "the task to wait for the guest" waits_for "host 'h1' to let VM 'vm' run on"
thaw
fails qmp-timeout source
stays

say "the destination's QEMU is stopped in the copy"
move --bandwidth 20 --switchover-limit 10
wait_until 30 "the copy" copying
freeze "$(pids_in h2 qemu-system-x86)"
says "host 'h2' to load the state of the VM's devices"
fails switchover-limit source "host 'h2' to load the state of the VM's devices"
stays

say "the destination's agent is stopped in the copy"
move --bandwidth 20 --switchover-limit 15
wait_until 30 "the copy" copying
freeze "$(pids_in h2 godwit-agent)"
wait_until 60 "the switch-over" in_phase switch-over
fault=$(date +%s)
says "host 'h2' to say how the move stands"
fails switchover-limit source "host 'h2'"
stays
result=$(migrate vm h2) || fail "the next move failed: $(jq -c .error <<<"$result")"
checker_is_whole vm
