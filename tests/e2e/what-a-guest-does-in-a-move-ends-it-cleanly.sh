#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A guest that is reset while it is copied moves on and starts on the destination; one that switches itself off, or panics, ends the move under an id of its
# own: the source keeps what it is then, the destination has nothing left, and the next move succeeds.
. "$(dirname "$0")/../functions.sh" "$1"
lab_up --hosts 2
# So slow that the copy is under way for as long as the guest needs.
linux_vm web h1 256 1 "gw.shell gw.work=32:20"
boot_of() { guest_says count | jq -r .boot_id; }
is_copying() { godwit task show "$task" --json | jq -e '.phase == "copy" and .bytes_on_wire > 0' >/dev/null; }
# begin_move: to h2, in $task, and its copy is under way
begin_move() {
    task=$(godwit vm migrate web --to h2 --bandwidth "$1" --detach --json 2>/dev/null | jq -r .task)
    wait_until 30 "the copy" is_copying
}
ended() {
    wait_until 60 "the end of the move" task_is_over "$task"
    godwit task show "$task" --timeline --json
}
nothing_is_left() {
    [ -z "$(pids_in h2 qemu-system-x86)" ] || return 1
    [ "$(godwit vm ls --json | jq '.vms | length')" = 1 ]
}
# ends_as ID STATE: the move failed with that id, at the source, and the VM is what it was
ends_as() {
    local document
    document=$(ended)
    jq -e --arg id "$1" '.state == "error" and .error.id == $id and .error.side == "source" and .error.phase == "copy"' <<<"$document" >/dev/null ||
        fail "$1: $(jq -c .error <<<"$document")"
    say "$1: $(jq -r '.error.message + " | fix: " + .error.fix' <<<"$document")"
    [ "$(vm_host web)" = h1 ] || fail "it is on $(vm_host web)"
    wait_until 10 "state $2" state_is "$2"
    wait_until 10 "nothing of it on h2" nothing_is_left
}
state_is() { [ "$(vm_state web)" = "$1" ]; }

say "reset"
before=$(boot_of)
begin_move 20
godwit vm console web --type "reboot -f"
document=$(ended)
jq -e '.state == "success"' <<<"$document" >/dev/null || fail "the move of a guest that was reset: $(jq -c .error <<<"$document")"
grep -q '"guest reset"' <<<"$document" || fail "the timeline has no reset: $(jq -c .timeline <<<"$document")"
has_booted() { [ "$(boot_of 2>/dev/null)" != "$before" ] && guest_says work | jq -e '.bad == 0 and .sweeps > 1' >/dev/null; }
wait_until 60 "the guest after its reset, with its memory right" has_booted
[ "$(vm_host web)" = h2 ] || fail "it is on $(vm_host web)"
migrate web h1 >/dev/null

say "panic"
wait_until 30 "the guest's shell" godwit vm console web --type ""
begin_move 3
godwit vm console web --type "echo c > /proc/sysrq-trigger"
ends_as guest-panicked paused
expect_error guest-panicked godwit vm migrate web --to h2
expect_error guest-panicked godwit vm start web
prints VmGuestPanickedEvent godwit event ls --vm web --json || fail "no event says so"
console_has web "Kernel panic" || fail "its console does not show the panic"
godwit vm stop web --force
godwit vm start web
answers() { guest_says count >/dev/null; }
wait_until 60 "the guest after its panic" answers

say "power off"
begin_move 3
godwit vm console web --type "poweroff -f"
ends_as guest-powered-off off
godwit vm start web
wait_until 60 "the guest after it was off" answers
migrate web h2 >/dev/null || fail "the move after all this"
[ "$(vm_host web)" = h2 ] || fail "it is on $(vm_host web)"
wait_until 20 "the guest on h2" answers
