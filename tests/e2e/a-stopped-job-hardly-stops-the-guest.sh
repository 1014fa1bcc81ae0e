#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The source's job is stopped (not killed) while the guest's writes wait for it; alone, together with
# its guard, together with its agent, and while its agent is killed: somebody ends
# it, the guest goes on soon, the task says what happened, the next move works. The guest's longest gap is printed; the aim is 500 ms.
. "$(dirname "$0")/../functions.sh" "$1"
gap_max_ms=2000
lab_up --hosts 2
checker_vm vm h1 512 2 tcg "mb=64 rate=8 mode=page"

copying() { godwit task show "$1" --json | jq -e '.phase == "copy" and (.bytes_on_wire // 0) > 0' >/dev/null; }
# Nobody may be there to collect it.
is_gone() { ! [ -e "/proc/$1" ] || grep -q '^State:.Z' "/proc/$1/status"; }
reports() { godwit vm console vm --log | grep -c '^CHK t_ms=.* cpu0=[0-9]'; }
reported() { [ "$(reports)" -ge "$1" ]; }
# The longest gap in the reports after the first N, in ms.
gap_since() {
    godwit vm console vm --log | grep '^CHK t_ms=.* cpu0=[0-9]' | tail -n "+$(($1 + 1))" | sed -n 's/.* gap_us=\([0-9]*\) .*/\1/p' | sort -n | tail -n 1 |
        awk '{print int($1 / 1000)}'
}
# holders NODE: name of each process there that holds a userfaultfd
holders() {
    local pid
    for pid in $(ip netns pids "$lab_name-$1"); do
        if find "/proc/$pid/fd" -lname '*userfaultfd]' 2>/dev/null | grep -q .; then
            cat "/proc/$pid/comm"
        fi
    done
}

# try DIRTY WHAT ERROR-ID: WHAT is done to the source's job and agent while DIRTY tracks the guest's writes
try() {
    local dirty=$1 what=$2 id=$3 task job agent before gap result
    task=$(godwit vm migrate vm --to h2 --dirty-source "$dirty" --bandwidth 8 --detach)
    wait_until 20 "the copy to run" copying "$task"
    job=$(pids_in h1 godwit-job)
    agent=$(pids_in h1 godwit-agent)
    [ "$(holders h1)" = godwit-job ] || fail "userfaultfds are held by: $(holders h1)"
    before=$(reports)
    case $what in
    job) kill -STOP "$job" ;;
    job-and-guard) kill -STOP "$(pids_in h1 godwit-guard)" && kill -STOP "$job" ;;
    job-and-agent)
        kill -STOP "$agent"
        on_exit "kill -CONT $agent 2>/dev/null || true"
        kill -STOP "$job"
        ;;
    job-and-agent-killed) kill -STOP "$job" && kill -KILL "$agent" ;;
    esac
    wait_until 30 "the end of the stopped job" is_gone "$job"
    # The agent may be the one that stands still: it cannot be asked for the console.
    [ $what != job-and-agent ] || kill -CONT "$agent"
    wait_until 60 "the task's end" task_is_over "$task"
    result=$(godwit task show "$task" --json)
    [ "$(jq -r '.state + " " + .error.id' <<<"$result")" = "error $id" ] || fail "not $id: $(jq -c '[.state, .error]' <<<"$result")"
    # One report more than those of the time of the gap.
    wait_until 30 "reports of the guest" reported $((before + 10))
    gap=$(gap_since "$before")
    say "$dirty, $what: longest gap of the guest $gap ms; $(jq -r '.error.message' <<<"$result")"
    [ "$gap" -le $gap_max_ms ] || fail "the guest stood still for $gap ms"
    [ "$(vm_host vm) $(vm_state vm)" = "h1 running" ] || fail "the VM is on $(vm_host vm), $(vm_state vm)"
    checker_is_whole vm
}

try async job job-stopped
try sync job job-stopped
try sync job-and-guard job-stopped
try sync job-and-agent job-stopped
try sync job-and-agent-killed agent-restarted
result=$(migrate vm h2 --dirty-source sync --verify) || fail "the move after all that failed: $(jq -c .error <<<"$result")"
checker_is_whole vm
