# shellcheck shell=bash disable=SC2034
# SPDX-License-Identifier: Apache-2.0
# A guest whose datastore is full is stopped by QEMU before it sees an error. Godwit says that it is paused, and why, also after a restart of the agent; it does
# not move, with that as the reason; with room it goes on where it was, and moves.
ends='vm-not-running||'
words='No space left on device'
vm=web stands=yes
prepare() {
    qemu-img create -q -f qcow2 "$small/data.qcow2" 64M
    chown 64101:64101 "$small/data.qcow2"
    godwit vm create web --memory 256 --cpus 1 --host h1 --kernel "$linux/vmlinuz" --initrd "$linux/initrd" \
        --append "console=ttyS0 quiet gw.ip=198.18.3.10/24 gw.disk=32" --network vmnet --disk "$small/data.qcow2" >/dev/null
}
inject() {
    head -c 44M /dev/zero >"$small/filler"
    godwit vm start web >/dev/null
    wait_until 90 "the guest to be stopped" is_paused
    wait_until 10 "the reason" says_why
    told VmPausedForIoErrorEvent "No space left on device" || fail "no event says why: $(godwit event ls --vm web)"
}
is_paused() { [ "$(vm_state web)" = paused ]; }
says_why() { godwit vm show web --json | jq -e --arg disk "$small/data.qcow2" '.problem | contains($disk) and contains("No space left on device")' >/dev/null; }
says_it_still() { godwit vm show web --json | jq -e '.state == "paused" and (.problem | contains("I/O error"))' >/dev/null; }
# told TYPE WORDS: by an event too
told() { prints "$2" godwit event ls --vm web --type "$1"; }
heal() {
    agent_restart h1
    wait_until 30 "the new agent to say the same" says_it_still
    rm -f "$small/filler"
    godwit vm start web >/dev/null
    wait_until 20 "the guest to go on" runs
    told VmResumedEvent "'web' runs again on host 'h1' by 'lab'" || fail "no event says that it goes on: $(godwit event ls --vm web)"
    wait_until 60 "the guest to be ready" console_has web "GUEST ready"
    disk_goes_on
}
runs() { godwit vm show web --json | jq -e '.state == "running" and .problem == ""' >/dev/null; }
is_heard() { disk_goes_on; }
disk_goes_on() {
    local seq
    wait_until 30 "the guest's answer" guest_says disk >/dev/null
    seq=$(guest_says disk | jq .seq)
    wait_until 30 "the guest's disk to go on" is_beyond "$seq"
}
is_beyond() { [ "$(guest_says disk | jq .seq)" -gt "$1" ]; }
tidy() {
    [ "$(guest_says disk | jq '.bad + .errors')" = 0 ] || fail "the guest saw bad blocks or errors: $(guest_says disk)"
    no_guest
    rm "$small/data.qcow2"
}
