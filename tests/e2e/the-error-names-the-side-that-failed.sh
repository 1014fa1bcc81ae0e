#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Something dies on one side during the copy. What the other side sees is a lost peer; what the task says is the reason, with the side that had it.
. "$(dirname "$0")/../functions.sh" "$1"
lab_up --hosts 2
checker_vm vm h1 256 1 tcg "mb=64 rate=4 mode=page"
copying() { godwit task show "$1" --json | jq -e '.phase == "copy" and .bytes_on_wire > 4000000' >/dev/null; }
no_shell() { [ -z "$(pids_in h2 qemu-system-x86)$(pids_in h2 godwit-job)" ]; }

while read -r node program id side; do
    task=$(godwit vm migrate vm --to h2 --bandwidth 5 --detach)
    wait_until 30 "the copy" copying "$task"
    for pid in $(pids_in "$node" "$program"); do kill -KILL "$pid"; done
    status=0
    result=$(godwit task follow "$task" --json 2>/dev/null) || status=$?
    [ "$status" = 1 ] || fail "the task ended with $status: $result"
    error=$(jq -c '.error | {id, side, phase, message}' <<<"$result")
    say "$program killed on $node: $error"
    [ "$(jq -r '"\(.id) \(.side) \(.phase)"' <<<"$error")" = "$id $side copy" ] || fail "$program on $node: $error"
    jq -e --arg side "$side" '[.timeline[] | select(.side == $side and .event == "failed")] | length == 1' <<<"$result" >/dev/null ||
        fail "the timeline does not say that the $side failed: $(jq -c .timeline <<<"$result")"
    [ "$(vm_host vm)" = h1 ] || fail "the VM is on $(vm_host vm)"
    wait_until 30 "the shell to be gone" no_shell
done <<'VICTIMS'
h2 godwit-job job-died destination
h2 qemu-system-x86 qemu-died destination
h1 godwit-job job-died source
VICTIMS
checker_is_whole vm
result=$(migrate vm h2) || fail "the move after it failed: $(jq -c .error <<<"$result")"
