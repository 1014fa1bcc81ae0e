#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What an operator changes takes effect at the next start, on any host; while a task moves the VM its config file is read-only on the host and
# each change is refused with the task's id; after it the VM can be changed where it is.
. "$(dirname "$0")/../functions.sh" "$1"
lab_up
checker_vm vm h1 256 1 tcg "mb=32 rate=5"
uuid=$(godwit vm show vm --json | jq -r .spec.uuid)
spec() { godwit vm show "$1" --json | jq -r ".spec.$2"; }
mode_on() { stat -c %a "$lab_dir/hosts/$1/state/vms/$uuid.json"; }

status=0
godwit vm set vm 2>/dev/null || status=$?
[ $status = 2 ] || fail "a change of nothing must exit 2"
status=0
godwit vm set vm --autostart maybe 2>/dev/null || status=$?
[ $status = 2 ] || fail "a wrong --autostart must exit 2"
expect_error vm-not-found godwit vm set nosuch --cpus 2
expect_error field-out-of-range godwit vm set vm --memory 7
expect_error vm-not-off godwit vm set vm --memory 320
godwit vm set vm --name box --autostart yes >/dev/null
[ "$(spec box autostart)" = true ] || fail "autostart was not taken"

# As long as a task moves it: from outside, over the API, and on the host.
[ "$(mode_on h1)" = 600 ] || fail "the config file of a VM at rest has mode $(mode_on h1)"
task=$(godwit vm migrate box --to h2 --bandwidth 5 --detach)
copies() { [ "$(godwit task show "$task" --json | jq -r .phase)" = copy ]; }
wait_until 30 "the copy" copies
[ "$(mode_on h1)" = 400 ] || fail "the config file of a moving VM has mode $(mode_on h1)"
[ "$(jq -r .task "$lab_dir/hosts/h1/state/vms/$uuid.lease")" = "$task" ] || fail "the lease does not name the task"
answer=$(godwit vm set box --autostart no --json || true)
[ "$(jq -r .error.id <<<"$answer")" = task-running ] || fail "a change while it moves: $answer"
[ "$(jq -r .error.arguments.task <<<"$answer")" = "$task" ] || fail "the task is not named: $answer"
godwit task cancel "$task" >/dev/null
cancelled() { [ "$(godwit task show "$task" --json | jq -r .state)" = cancelled ]; }
wait_until 30 "the task to be cancelled" cancelled
[ "$(mode_on h1)" = 600 ] || fail "the config file stays read-only after the task"
[ ! -e "$lab_dir/hosts/h1/state/vms/$uuid.lease" ] || fail "the lease stays after the task"
godwit vm set box --autostart no >/dev/null

migrate box h2 >/dev/null || fail "the move after it"
[ "$(spec box autostart)" = false ] || fail "the destination has an older configuration"
[ "$(mode_on h2)" = 600 ] || fail "the config file stays read-only on the destination"
godwit vm stop box --force >/dev/null
godwit vm set box --memory 320 --append "mb=16 rate=5" --name vm >/dev/null
godwit vm start vm >/dev/null
[ "$(spec vm memory_mib)" = 320 ] || fail "the memory is $(spec vm memory_mib)"
wait_until 60 "the changed guest" console_has vm "bad=0"
migrate vm h1 >/dev/null || fail "the changed VM cannot move"
