#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A Linux guest with its disk in use moves there and back; its open connection lives, its counter never goes back, its memory and disk check out.
. "$(dirname "$0")/../functions.sh" "$1"
lab_up --hosts 2
disk=$(disk_image data 64M)
linux_vm web h1 512 2 "gw.work=64:20 gw.disk=32" "$disk"
observer_start
wait_until 20 "the client's first answers" observer_answered 10
for to in h2 h1; do
    answers=$(observer_line | jq .answers_kept)
    task=$(migrate web $to --verify) || fail "the move to $to failed: $(jq -c .error <<<"$task")"
    [ "$(jq -r .state <<<"$task")" = success ] || fail "$task"
    [ "$(vm_host web)" = $to ] || fail "the inventory says $(vm_host web)"
    wait_until 20 "answers after the move to $to" observer_answered $((answers + 60))
    say "to $to: downtime $(jq .downtime_ms <<<"$task") ms, $(jq .bytes_on_wire <<<"$task") bytes, rounds $(jq '.rounds | length' <<<"$task")"
done
seen=$(observer_line)
say "client: $seen"
[ "$(jq '.regressions + .reboots + .reconnects' <<<"$seen")" = 0 ] || fail "the client saw $seen"
work=$(guest_says work)
[ "$(jq .bad <<<"$work")" = 0 ] || fail "the guest found bad memory: $work"
first=$(guest_says disk)
disk_went_on() { [ "$(guest_says disk | jq .seq)" -gt "$(jq .seq <<<"$first")" ]; }
wait_until 20 "the disk worker to go on" disk_went_on
last=$(guest_says disk)
[ "$(jq '.bad + .errors' <<<"$last")" = 0 ] || fail "the guest found bad disk blocks: $last"
godwit vm stop web
qemu-img check -q "$disk" || fail "the image is damaged"
