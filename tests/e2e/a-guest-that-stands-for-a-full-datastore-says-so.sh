#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A guest whose datastore is full is stopped by QEMU before it sees an error. Godwit says that it is paused, and why, also after a restart of the agent; it does not
# move, with that as the reason; with room it goes on where it was, and moves.
# The small file system is in a mount namespace of the test's own, so that no other process of the machine can hold it.
[ -n "${GODWIT_MOUNTS:-}" ] || GODWIT_MOUNTS=1 exec unshare --mount "$0" "$@"
. "$(dirname "$0")/../functions.sh" "$1"
small=/run/gwt-$$-small
on_exit "rmdir '$small'"
mkdir "$small"
mount -t tmpfs -o size=6M,mode=755 none "$small"
on_exit "umount '$small'"
lab_up --hosts 2
disk=$small/data.qcow2
qemu-img create -q -f qcow2 "$disk" 64M
chown 64101:64101 "$disk"
godwit vm create web --memory 512 --cpus 1 --host h1 --kernel "$linux/vmlinuz" --initrd "$linux/initrd" \
    --append "console=ttyS0 quiet gw.ip=198.18.3.10/24 gw.disk=32" --network vmnet --disk "$disk" --start >/dev/null
stands() { [ "$(vm_state web)" = paused ]; }
wait_until 90 "the guest to be stopped" stands
says_why() { godwit vm show web --json | jq -e --arg disk "$disk" '.problem | contains($disk) and contains("No space left on device")' >/dev/null; }
wait_until 10 "the reason" says_why
# told TYPE WORDS: by an event too
told() { godwit event ls --vm web --type "$1" | grep -q "$2"; }
told VmPausedForIoErrorEvent "No space left on device" || fail "no event says why: $(godwit event ls --vm web)"
answer=$(godwit vm migrate web --to h2 --json 2>/dev/null) && fail "it moved"
say "$(jq -r '.error | .message + "; " + .cause + "; " + .fix' <<<"$answer")"
jq -e '.error | .id == "vm-not-running" and (.cause | contains("No space left")) and (.fix | contains("godwit vm start web"))' <<<"$answer" >/dev/null || fail "$answer"

agent_restart h1
still_stands() { godwit vm show web --json | jq -e '.state == "paused" and (.problem | contains("I/O error"))' >/dev/null; }
wait_until 30 "the new agent to say the same" still_stands

mount -o remount,size=100M "$small"
godwit vm start web
runs() { godwit vm show web --json | jq -e '.state == "running" and .problem == ""' >/dev/null; }
wait_until 20 "the guest to go on" runs
told VmResumedEvent "'web' runs again on host 'h1' by 'lab'" || fail "no event says that it goes on: $(godwit event ls --vm web)"
wait_until 60 "the guest to be ready" console_has web "GUEST ready"
goes_on() { [ "$(guest_says disk | jq .seq)" -gt "$1" ]; }
observer_start
wait_until 30 "the client's first answers" observer_answered 3
wait_until 30 "the guest's disk to go on" goes_on "$(guest_says disk | jq .seq)"
task=$(migrate web h2) || fail "it did not move: $(jq -c .error <<<"$task")"
wait_until 30 "the guest's disk to go on" goes_on "$(guest_says disk | jq .seq)"
[ "$(guest_says disk | jq '.bad + .errors')" = 0 ] || fail "the guest saw bad blocks or errors: $(guest_says disk)"
