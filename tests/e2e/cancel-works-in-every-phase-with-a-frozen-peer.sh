#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A move is held in one phase after the other and cancelled, also while an agent or a job is stopped by a signal: the VM stays, the task ends within
# moments, nothing is left over, and the next move works. Only a stopped agent of the source holds it up: the task says so, and ends when it goes on.
. "$(dirname "$0")/../functions.sh" "$1"
lab_up --hosts 2
checker_vm vm h1 256 1 tcg "mb=64 rate=4 mode=page"

other() { [ "$(vm_host vm)" = h1 ] && echo h2 || echo h1; }
task_field() { godwit task show "$1" --json | jq -r ".$2 // \"\""; }
in_phase() { [ "$(task_field "$1" phase)" = "$2" ]; }
copying() { in_phase "$1" copy && [ "$(task_field "$1" bytes_on_wire)" -gt 4000000 ]; }
waits_for() { [[ $(task_field "$1" waiting_for) == *"host '$2'"* ]]; }
one_qemu() { [ "$( { pids_in h1 qemu-system-x86; pids_in h2 qemu-system-x86; } | wc -l)" = 1 ]; }
no_job() { [ -z "$(pids_in h1 godwit-job)$(pids_in h2 godwit-job)" ]; }
vm_is_free() { [ "$(godwit vm show vm --json | jq -r '.state + .move')" = running ]; }

# freeze NODE PROGRAM: stops it; thaw continues all that were stopped and still are there
frozen=()
freeze() {
    local pid
    for pid in $(pids_in "$1" "$2"); do
        kill -STOP "$pid"
        frozen+=("$pid")
    done
}
thaw() {
    local pid
    for pid in "${frozen[@]}"; do
        kill -CONT "$pid" 2>/dev/null || true # a job is killed while it is stopped
    done
    frozen=()
}
on_exit thaw

# cancelled TASK WHAT: cancels, and measures until the task is final
cancelled() {
    local begin end status=0
    begin=$(date +%s%N)
    godwit task cancel "$1" >/dev/null
    godwit task follow "$1" --json >"$lab_dir/cancelled.json" 2>/dev/null || status=$?
    end=$(date +%s%N)
    say "$2: cancelled in $(((end - begin) / 1000000)) ms"
    [ "$status" = 1 ] && [ "$(jq -r .state "$lab_dir/cancelled.json")" = cancelled ] || fail "$2: $(cat "$lab_dir/cancelled.json")"
    [ $((end - begin)) -lt 3000000000 ] || fail "$2: the cancel took too long"
    [ "$(vm_host vm)" = "$from" ] || fail "$2: the VM is on $(vm_host vm)"
}
# as_before WHAT: nothing is left over, the guest is whole, and the next move works
as_before() {
    thaw
    wait_until 30 "nothing to be left over after $1" eval 'one_qemu && no_job && vm_is_free'
    checker_is_whole vm
    result=$(migrate vm "$to") || fail "the move after $1 failed: $(jq -c .error <<<"$result")"
    wait_until 30 "one QEMU after $1" one_qemu
}
begin() {
    from=$(vm_host vm) to=$(other)
    say "from $from to $to: $1"
}
move() { task=$(godwit vm migrate vm --to "$to" --detach "$@"); }

begin "destination check, destination's agent stopped"
freeze "$to" godwit-agent
move
wait_until 20 "the wait to be said" waits_for "$task" "$to"
cancelled "$task" "destination check"
as_before "destination check"

begin "source check, source's agent stopped"
freeze "$to" godwit-agent
move
wait_until 20 "the destination check" waits_for "$task" "$to"
source_agent=$(pids_in "$from" godwit-agent)
kill -STOP "$source_agent"
thaw
frozen=("$source_agent")
wait_until 20 "the source check" eval 'in_phase "$task" "source check and lock" && waits_for "$task" "$from"'
godwit task cancel "$task" >/dev/null
wait_until 20 "the task to say that only the source can tell" eval '[[ $(task_field "$task" waiting_for) == *"it alone knows"* ]]'
[ "$(task_field "$task" state)" = running ] || fail "the task ended without its source"
[ -n "$(task_field "$task" waiting_since)" ] || fail "the task does not say since when it waits"
thaw
cancelled "$task" "source check, from the moment the source goes on"
as_before "source check"

begin "destination shell, destination's agent stopped"
freeze "$to" godwit-agent
move
wait_until 20 "the destination check" waits_for "$task" "$to"
source_agent=$(pids_in "$from" godwit-agent)
kill -STOP "$source_agent"
thaw
frozen=("$source_agent")
wait_until 20 "the source check" in_phase "$task" "source check and lock"
destination_agent=$(pids_in "$to" godwit-agent)
kill -STOP "$destination_agent"
thaw
frozen=("$destination_agent")
wait_until 20 "the shell to be asked for" in_phase "$task" "destination shell"
cancelled "$task" "destination shell"
as_before "destination shell"

for victim in "nobody" "destination godwit-agent" "destination godwit-job" "source godwit-job"; do
    begin "copy, stopped: $victim"
    move --bandwidth 5
    wait_until 20 "the copy" copying "$task"
    case $victim in
    destination*) freeze "$to" "${victim#* }" ;;
    source*) freeze "$from" "${victim#* }" ;;
    esac
    cancelled "$task" "copy, stopped: $victim"
    as_before "copy, stopped: $victim"
done

begin "switch-over before GIVEN, destination's agent stopped"
move --bandwidth 20
wait_until 20 "the copy" copying "$task"
freeze "$to" godwit-agent
wait_until 30 "the guest to be stopped" in_phase "$task" switch-over
cancelled "$task" "switch-over"
as_before "switch-over"
