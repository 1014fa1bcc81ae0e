#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# kill -9 of the agent and of the manager: the guest never notices, QEMU keeps its process, and the VM can be moved and stopped afterwards.
. "$(dirname "$0")/../functions.sh" "$1"
lab_up --hosts 2
checker_vm vm h1 256 1 tcg "mb=32 rate=10"
pid=$(godwit vm show vm --json | jq .pid)
old=$(pids_in h1 godwit-agent)
kill -KILL "$old"
new_agent() {
    local now
    now=$(pids_in h1 godwit-agent)
    [ -n "$now" ] && [ "$now" != "$old" ]
}
wait_until 20 "a new agent" new_agent
vm_is_running() { [ "$(vm_state vm)" = running ]; }
wait_until 20 "the VM to be adopted" vm_is_running
[ "$(godwit vm show vm --json | jq .pid)" = "$pid" ] || fail "QEMU is another process"
manager=$(pids_in mgr godwitd)
kill -KILL "$manager"
answers() { godwit vm ls --json >/dev/null 2>&1; }
wait_until 20 "a new manager" answers
wait_until 20 "the VM to be known" vm_is_running
task=$(migrate vm h2 --verify) || fail "$(jq -c .error <<<"$task")"
checker_is_whole vm
godwit vm stop vm --force >/dev/null
[ "$(vm_state vm)" = off ] || fail "the VM is $(vm_state vm)"
