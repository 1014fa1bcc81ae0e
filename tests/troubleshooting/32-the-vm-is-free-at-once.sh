# shellcheck shell=bash disable=SC2034
# SPDX-License-Identifier: Apache-2.0
# While a move holds the VM nobody changes it, and the refusal names the task; a moment after the move is over the VM takes changes again.
ends='cancelled|copy|'
hold=copy
inject() {
    local refused
    refused=$(godwit vm set vm --name other-name --json) && fail "a VM that moves was changed"
    [ "$(jq -r '.error | .id + " " + .arguments.task' <<<"$refused")" = "task-running $task" ] || fail "refused otherwise: $refused"
}
outlast() {
    godwit task cancel "$task" >/dev/null
    wait_until 30 "the task to end" task_is_over "$task"
    godwit vm set vm --autostart yes >/dev/null
    godwit vm set vm --autostart no >/dev/null
}
