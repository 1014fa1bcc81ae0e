#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Each wrong request gets an error that names the field or thing and the cure, and the VM goes on where it was.
. "$(dirname "$0")/../functions.sh" "$1"
lab_up --hosts 3
checker_vm vm h1 256 1 tcg "mb=32 rate=5"
godwit vm create off --memory 128 --cpus 1 --host h1 >/dev/null
still_there() {
    [ "$(vm_state vm)" = running ] && [ "$(vm_host vm)" = h1 ] || fail "the VM is $(vm_state vm) on $(vm_host vm) after: $1"
    local before
    before=$(checker_field vm total)
    wait_until 10 "the guest to go on after: $1" checker_above "$before"
}
checker_above() { [ "$(checker_field vm total)" -gt "$1" ]; }
socket=$lab_dir/manager/godwitd.sock
token=$(sed -n 's/^token=//p' "$lab_dir/cli.conf")
post() { curl -s --unix-socket "$socket" -H "Authorization: Bearer ${3-$token}" -d "$2" -o "$lab_dir/answer" -w '%{http_code}' "http://manager$1"; }

expect_error vm-not-found godwit vm migrate nosuch --to h2
expect_error host-not-found godwit vm migrate vm --to nosuch
expect_error same-host godwit vm migrate vm --to h1
expect_error vm-is-off godwit vm migrate off --to h2
expect_error vm-not-found godwit vm start nosuch
still_there "wrong names"

expect_error boot-file-missing godwit vm create a --memory 128 --cpus 1 --host h1 --kernel /no/such/kernel --start
expect_error disk-missing godwit vm create b --memory 128 --cpus 1 --host h1 --disk /no/such/disk.qcow2 --start
expect_error memory-short godwit vm create c --memory 1000000 --cpus 1 --host h1 --start
expect_error field-out-of-range godwit vm create d --memory 7 --cpus 1 --host h1
expect_error field-invalid godwit vm create 'no good' --memory 128 --cpus 1 --host h1
expect_error vm-exists godwit vm create vm --memory 128 --cpus 1 --host h2
status=0
godwit vm create e --memory 128 --cpus 1 2>/dev/null || status=$?
[ $status = 2 ] || fail "a missing --host must exit 2"
status=0
said=$(godwit vm create web --host h1 --memory 64 --disk /disk.qcow2,format=qcow2,cache=none 2>&1 >/dev/null) || status=$?
[ $status = 2 ] && [[ $said = *"no cache="*O_DIRECT* ]] || fail "a disk past the page cache must exit 2 and say why, not $status: $said"
status=0
godwit vm migrate vm 2>/dev/null || status=$?
[ $status = 2 ] || fail "a missing --to must exit 2"
still_there "wrong machines"

[ "$(post /v1/migrations '{"vm": "vm", ')" = 400 ] || fail "malformed JSON: $(cat "$lab_dir/answer")"
grep -q line "$lab_dir/answer" || fail "malformed JSON without a position: $(cat "$lab_dir/answer")"
[ "$(post /v1/migrations '{"vm":"vm","destination":"h2","options":{"max_downtime_ms":-5}}')" = 400 ] || fail "a negative downtime: $(cat "$lab_dir/answer")"
[ "$(post /v1/migrations '{"vm":"vm","destination":"h2"}' wrong)" = 401 ] || fail "a wrong token: $(cat "$lab_dir/answer")"
jq -e .error.message "$lab_dir/answer" >/dev/null || fail "no error form: $(cat "$lab_dir/answer")"
GODWIT_TOKEN=wrong expect_error unauthorized godwit vm ls
still_there "wrong requests"

# A destination that is not there, cannot be reached over the migration network, or has no QEMU.
godwit lab service stop h3
host_is() { [ "$(godwit host show "$1" --json | jq -r .state)" = "$2" ]; }
wait_until 20 "h3 to be disconnected" host_is h3 disconnected
expect_error host-disconnected godwit vm migrate vm --to h3
still_there "destination agent down"
sed -i 's|^name=h3|name=h3\nqemu=/no/such/qemu|' "$lab_dir/hosts/h3/agent.conf"
godwit lab service start h3
wait_until 20 "h3 to be back" host_is h3 connected
expect_error qemu-missing godwit vm migrate vm --to h3
still_there "QEMU missing on the destination"
ip -n "$lab_name-h2" link set eth-mig down
expect_error connect-failed godwit vm migrate vm --to h2
still_there "migration network down"
ip -n "$lab_name-h2" link set eth-mig up

# A second move of a VM that moves.
first=$(godwit vm migrate vm --to h2 --bandwidth 5 --detach)
expect_error task-running godwit vm migrate vm --to h3
expect_error task-running godwit vm stop vm
godwit task cancel "$first" >/dev/null
task_is() { [ "$(godwit task show "$1" --json | jq -r .state)" = "$2" ]; }
wait_until 10 "the task to be cancelled" task_is "$first" cancelled
still_there "a cancelled move"
task=$(migrate vm h2 --verify) || fail "a move after all that failed: $(jq -c .error <<<"$task")"
checker_is_whole vm
