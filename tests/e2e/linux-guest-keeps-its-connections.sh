#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A Linux guest with its disk in use moves there and back; its open connection lives, its counter never goes back, its memory and disk check out.
. "$(dirname "$0")/../functions.sh" "$1"
lab_up --hosts 2
disk=$(disk_image data 64M)
linux_vm web h1 512 2 "gw.work=64:20 gw.disk=32" "$disk"
observer_start
client_answered() { [ "$(jq .answers_kept <<<"$(observer_line)")" -gt "$1" ]; }
wait_until 20 "the client's first answers" client_answered 10
for to in h2 h1; do
    answers=$(jq .answers_kept <<<"$(observer_line)")
    task=$(migrate web $to --verify) || fail "the move to $to failed: $(jq -c .error <<<"$task")"
    [ "$(jq -r .state <<<"$task")" = success ] || fail "$task"
    [ "$(vm_host web)" = $to ] || fail "the inventory says $(vm_host web)"
    wait_until 20 "answers after the move to $to" client_answered $((answers + 100))
    say "to $to: downtime $(jq .downtime_ms <<<"$task") ms, $(jq .bytes_on_wire <<<"$task") bytes, rounds $(jq '.rounds | length' <<<"$task")"
done
seen=$(observer_line)
say "client: $seen"
[ "$(jq '.regressions + .reboots + .reconnects' <<<"$seen")" = 0 ] || fail "the client saw $seen"
work=$(godwit lab exec client -- curl -sf http://198.18.3.10/work)
[ "$(jq .bad <<<"$work")" = 0 ] || fail "the guest found bad memory: $work"
first=$(godwit lab exec client -- curl -sf http://198.18.3.10/disk)
disk_went_on() { [ "$(godwit lab exec client -- curl -sf http://198.18.3.10/disk | jq .seq)" -gt "$(jq .seq <<<"$first")" ]; }
wait_until 20 "the disk worker to go on" disk_went_on
last=$(godwit lab exec client -- curl -sf http://198.18.3.10/disk)
[ "$(jq '.bad + .errors' <<<"$last")" = 0 ] || fail "the guest found bad disk blocks: $last"
godwit vm stop web
qemu-img check -q "$disk" || fail "the image is damaged"
