#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The phases of a move, each seen by its effect on real daemons: the destination is asked first, the shell stands there with its memory reserved while
# the copy runs, strangers are turned away at the door, the source's QEMU is gone at the end and the sums come out, and one timeline tells it all.
. "$(dirname "$0")/../functions.sh" "$1"
lab_up --hosts 2
checker_vm vm h1 256 1 tcg "mb=64 rate=4 mode=page"

task_field() { godwit task show "$task" --json | jq -r ".$1 // \"\""; }
in_phase() { [ "$(task_field phase)" = "$1" ]; }
fact() { godwit host show "$1" --json | jq -r ".facts.$2"; }
# promised HOST MIB: the manager asks every two seconds
promised() { [ "$(fact "$1" memory_used_mib)" = "$2" ]; }
ended() { [[ $(task_field state) =~ ^(success|error|cancelled)$ ]]; }
needed=$((256 + $(godwit vm show vm --json | jq .overhead_mib)))
[ "$needed" -gt 256 ] || fail "its QEMU needs nothing"
wait_until 20 "the VM's memory to be counted" promised h1 "$needed"
before=$(($(fact h1 memory_used_mib) + $(fact h2 memory_used_mib)))
strangers=$(fact h2 strangers)
port=$(fact h2 migration_port) address=$(fact h2 'migration_addresses[0]')

# 2, destination check: while the destination cannot answer, the source hears nothing of the task
destination_agent=$(pids_in h2 godwit-agent)
on_exit "kill -CONT $destination_agent 2>/dev/null || true"
kill -STOP "$destination_agent"
task=$(godwit vm migrate vm --to h2 --bandwidth 6 --detach)
wait_until 20 "the wait to be said" eval '[[ $(task_field waiting_for) == "host '\''h2'\''"* ]]'
in_phase "destination check" || fail "the task is in $(task_field phase)"
[ "$(godwit vm show vm --json | jq -r .move)" = "" ] || fail "the source holds the VM before the destination agreed"
if grep -q -- "$task" "$lab_dir/log/h1.log"; then
    fail "the source has heard of the task"
fi
kill -CONT "$destination_agent"

# 3 and 4: the specification is fixed, and the source holds the VM for this task
wait_until 20 "the copy" in_phase copy
holds() { [ "$(godwit vm show vm --json | jq -r .move)" = "$task" ]; }
wait_until 10 "the source to hold the VM" holds
expect_error task-running godwit vm stop vm --force

# 5, destination shell: a second QEMU that waits, and memory promised to it
[ "$(pids_in h2 qemu-system-x86 | wc -l)" = 1 ] || fail "no shell on h2"
wait_until 10 "the shell's memory to be reserved" promised h2 "$needed"
[ "$(fact h1 memory_used_mib)" = "$needed" ] || fail "the source gave its memory up during the copy"
incoming=$(godwit event ls --json | jq '[.events[] | select(.kind == "vm" and .document.state == "incoming")] | length')
[ "$incoming" -ge 1 ] || fail "no event says that the shell is incoming"

# 6, copy: the door lets nobody in without the ticket, and counts
knock() { godwit lab exec h1 -- timeout 10 bash -c "exec 3<>/dev/tcp/$address/$port; $1; cat <&3" >/dev/null 2>&1 || true; }
knock 'head -c 64 /dev/zero >&3'    # no preamble of ours
knock 'head -c 64 /dev/urandom >&3' # nor this
knock 'exec 3>&-'                   # nothing at all
turned_away() { [ "$(fact h2 strangers)" -ge $((strangers + 2)) ]; }
wait_until 20 "the strangers to be counted" turned_away
in_phase copy || fail "the strangers disturbed the copy: $(task_field phase)"

# 7 to 9: the VM runs on the destination and nowhere else, and the sums come out
wait_until 120 "the task to end" ended
result=$(godwit task show "$task" --json)
[ "$(jq -r .state <<<"$result")" = success ] || fail "$(jq -c .error <<<"$result")"
[ "$(vm_host vm)" = h2 ] && [ "$(vm_state vm)" = running ] || fail "the VM is $(vm_state vm) on $(vm_host vm)"
[ -z "$(pids_in h1 qemu-system-x86)" ] || fail "the source's QEMU is still there"
wait_until 20 "the source's memory to be free" promised h1 0
after=$(($(fact h1 memory_used_mib) + $(fact h2 memory_used_mib)))
[ "$after" = "$before" ] || fail "$after MiB are promised after the move, $before before it"
[ "$(jq '.phases | length' <<<"$result")" = 9 ] || fail "not nine phases: $(jq -c .phases <<<"$result")"
checker_is_whole vm

# One timeline of both hosts under the task's id: what had to come first comes first
events=$(jq -r '.timeline[].event' <<<"$result" | grep -vx -e phase -e waits)
want=$(printf '%s\n' asked "vm held" "shell started" "ticket at the door" "guest stopped" "memory complete" "device state loaded" "READY released" \
    "READY received" "GIVEN durable" "COMMIT released" "COMMIT received" "OWNED durable" "guest runs" "verdict received" "GONE durable" "QEMU ended" over)
found=$(grep -Fx "$want" <<<"$events")
[ "$found" = "$want" ] || fail "the timeline is not in order: $(diff <(echo "$want") <(echo "$found") || true)"
[ "$(jq -r '[.timeline[] | select(.host == "h2" and .side == "destination")] | length' <<<"$result")" -ge 8 ] || fail "the destination says too little"
[ "$(jq -r '[.timeline[].time] | . == sort' <<<"$result")" = true ] || fail "the timeline's times go back"
godwit task show "$task" --timeline
