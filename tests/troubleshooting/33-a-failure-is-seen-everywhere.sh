# shellcheck shell=bash disable=SC2034
# SPDX-License-Identifier: Apache-2.0
# A move fails, and who looks at an exit status alone, at the task, at the VM's host, or at events learns it; nobody is told of a success.
ends='job-died|copy|destination'
words='godwit-job|ended'
hold=copy
inject() { kill_program h2 godwit-job; }
outlast() {
    local state status
    wait_until 60 "the task to end" task_is_over "$task"
    for tool in "task follow" "task show"; do
        status=0
        # shellcheck disable=SC2086
        godwit $tool "$task" >"$lab_dir/said.txt" 2>&1 || status=$?
        [ "$tool" = "task show" ] || [ $status = 1 ] || fail "godwit $tool ends with $status after a failure"
        grep -q 'job-died' "$lab_dir/said.txt" || fail "godwit $tool does not say it: $(cat "$lab_dir/said.txt")"
    done
    state=$(api GET "/v1/tasks/$task" | jq -r .state)
    [ "$state" = error ] || fail "the API says that the task is in state '$state'"
    api GET "/v1/tasks?state=success" | jq -e --arg task "$task" 'all(.tasks[]; .task != $task)' >/dev/null || fail "it is listed as a success"
    [ "$(vm_host vm)" = h1 ] || fail "the VM is shown on another host"
    [ "$(events VmFailedMigrateEvent | jq --arg task "$task" '[.[] | select(.task == $task)] | length') $(events VmMigratedEvent)" = "1 []" ] ||
        fail "the events are $(events VmFailedMigrateEvent VmMigratedEvent)"
}
