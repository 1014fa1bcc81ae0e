#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A move of a VM with its disks is cancelled, its network cut, or a process of it killed or stopped, while a disk is copied: the guest goes on with its own image, which loses nothing and
# has one writer, and nothing is left at the destination. After each the disk's copy can be made; what would not work is refused before anything is made.
. "$(dirname "$0")/../functions.sh" "$1"
. "$tests/local-datastores.sh"
lab_up --hosts 2
add_small_datastore h2
local_datastores h1 h2
small_datastore h2
here=$(datastore_of h1) there=$(datastore_of h2)
image=$(local_image h1 data qcow2 256M)
qemu-io -f qcow2 -c "write -q -P 7 64M 60M" "$image"
inode=$(stat -c %i "$image")
linux_vm web h1 128 1 "gw.disk=16" local:data.qcow2
goes_on() { [ "$(guest_says disk | jq .seq)" -gt "$1" ]; }
observer_start
wait_until 30 "the client's first answers" observer_answered 3

# What would not work.
expect_error datastore-missing godwit vm migrate web --to h2 --datastore nowhere
expect_error datastore-no-room godwit vm migrate web --to h2 --datastore small
expect_error datastore-no-room godwit vm migrate web --to h2 --datastore small --dry-run
touch "$there/data.qcow2"
expect_error image-exists godwit vm migrate web --to h2 --datastore local
finds() { { godwit vm check web --to h2 --json "${@:2}" || true; } | jq -e --arg id "$1" '.hosts[0].findings | any(.severity == "error" and .id == $id)' >/dev/null; }
finds image-exists --datastore local || fail "vm check finds nothing in the way of the disks"
finds datastore-differs || fail "vm check does not say that the datastore is another one"
[ -e "$there/data.qcow2" ] || fail "a file of somebody else was removed"
rm "$there/data.qcow2"
expect_error datastore-differs godwit vm migrate web --to h2
godwit vm check web --to h2 --datastore local >/dev/null || fail "vm check: $(godwit vm check web --to h2 --datastore local)"
dry=$(godwit vm migrate web --to h2 --datastore local --dry-run --json)
jq -e '(.disks | length == 1) and .disks[0].to == "local:data.qcow2" and .disks[0].size_bytes == 268435456 and .disks[0].used_bytes > 62914560 and
    .disks[0].used_bytes < 80e6 and .forecast.disks_ms > 0 and .forecast.duration_ms > .forecast.disks_ms' <<<"$dry" >/dev/null || fail "the dry run: $dry"
[ ! -e "$there/data.qcow2" ] || fail "the dry run has made an image"

is_copying() { godwit task show "$task" --json | jq -e '.disks | length == 1 and .[0].bytes_done > 0' >/dev/null; }
is_clear() { [ -z "$(find "$there" -name '*.qcow2')$(find "$lab_dir/hosts" -name '*.images')" ]; }
writers() { local pid; for pid in $(pids_in h1 qemu-system-x86) $(pids_in h2 qemu-system-x86); do
    ls -l "/proc/$pid/fd" 2>/dev/null | grep -c "$1" || true
done | awk '{ sum += ($1 > 0) } END { print sum + 0 }'; }
waits_for() { [[ $(godwit task show "$task" --json | jq -r '.waiting_for // ""') == *"$1"* ]]; }
task_error() { godwit task show "$task" --json | jq -e ".error | $1" >/dev/null || fail "the error: $(godwit task show "$task" --json | jq -c .error)"; }
nothing_happened() {
    wait_until 60 "the end of the task" task_is_over "$task"
    [ "$(godwit task show "$task" --json | jq -r .state)" = "$1" ] || fail "the task ended as $(godwit task show "$task" --json | jq -c '.state, .error')"
    [ "$(vm_host web)" = h1 ] && [ "$(vm_state web)" = running ] || fail "the VM is $(vm_state web) on $(vm_host web)"
    wait_until 20 "the guest's disk to go on" goes_on "$(guest_says disk | jq .seq)"
    [ "$(guest_says disk | jq '.bad + .errors')" = 0 ] || fail "the guest found bad blocks: $(guest_says disk)"
    [ "$(stat -c %i "$image")" = "$inode" ] || fail "the image is another one"
    wait_until 20 "the destination to be clear" is_clear
    [ "$(writers "$image")" = 1 ] || fail "$(writers "$image") processes have the image open"
    say "$2: $(godwit task show "$task" --json | jq -r '.error.id + ", " + .error.side + ": " + .error.message')"
}
# What is done while the disk is copied, and how the task ends.
while read -r how victim; do
    task=$(godwit vm migrate web --to h2 --datastore local --bandwidth 8 --detach)
    wait_until 60 "the copy of the disk" is_copying
    [ "$(writers "$there/data.qcow2")" = 1 ] || fail "$(writers "$there/data.qcow2") processes have the new image open"
    outcome=error
    case $how in
    cancel) outcome=cancelled && godwit task cancel "$task" ;;
    cut) godwit lab exec h1 -- ip link set eth-mig down ;;
    # shellcheck disable=SC2046,SC2086
    *) kill "-$how" $(pids_in $victim) ;;
    esac
    [ "$how" != STOP ] || wait_until 10 "the task to say whom it waits for" waits_for "host 'h2' to take what is copied of disk local:data.qcow2"
    nothing_happened $outcome "$how $victim"
    [ "$how" != STOP ] || task_error '.id == "disk-copy-stalled" and .arguments.destination == "h2" and .arguments.path == "local:data.qcow2" and (.arguments.waited_s | tonumber) <= 10'
    if [ "$how" = cut ]; then
        godwit lab exec h1 -- ip link set eth-mig up
    fi
    wait_until 30 "both hosts" eval 'host_is_connected h1 && host_is_connected h2'
done <<END
cancel
cut
KILL h1 godwit-job
KILL h2 godwit-job
KILL h2 qemu-system-x86
STOP h2 qemu-system-x86
KILL h1 godwit-agent
KILL h2 godwit-agent
END

# The datastore had room when it was looked at, and others have taken it since.
mount -o remount,size=200m "$lab_dir/small"
wait_until 30 "the small datastore's new size" eval 'godwit datastore show small --json | jq -e ".hosts[] | select(.host == \"h2\").free_bytes > 150000000" >/dev/null'
task=$(godwit vm migrate web --to h2 --datastore small --bandwidth 20 --detach)
wait_until 60 "the copy of the disk" is_copying
dd if=/dev/zero of="$lab_dir/small/filler" bs=1M 2>/dev/null || true
nothing_happened error "a full datastore"
task_error '.id == "datastore-full" and .arguments.datastore == "small" and .arguments.destination == "h2" and (.fix | contains("--datastore"))'
[ "$(find "$lab_dir/small" -name '*.qcow2')" = "" ] || fail "the image is left on the full datastore"

# After all that it moves, and disk and memory together keep to the cap.
seq=$(guest_says disk | jq .seq)
task=$(migrate web h2 --datastore local --bandwidth 20) || fail "it did not move: $(jq -c .error,.timeline <<<"$task")"
jq -e '([.phases[] | select(.name == "copy" or .name == "switch-over").ms] | add) as $ms | .bytes_on_wire > 60e6 and .bytes_on_wire <= 1.05 * 20e3 * $ms + 1e6' <<<"$task" >/dev/null ||
    fail "the cap was not kept: $(jq -c '.bytes_on_wire, .phases' <<<"$task")"
wait_until 30 "the guest's disk to go on" goes_on "$seq"
[ "$(guest_says disk | jq '.bad + .errors')" = 0 ] || fail "the guest found bad blocks: $(guest_says disk)"
[ ! -e "$image" ] || fail "the old image is still there"
# An image that cannot be removed then is said, and goes when it can.
task=$(godwit vm migrate web --to h1 --datastore local --bandwidth 20 --detach)
wait_until 60 "the copy of the disk" is_copying
chown root: "$there"
wait_until 60 "the end of the task" task_is_over "$task"
godwit task show "$task" --json | jq -e --arg path "$there/data.qcow2" '.state == "success" and (.warnings | any(.id == "image-not-removed" and .side == "source" and .arguments.path == $path))' >/dev/null ||
    fail "no warning of the image that is left: $(godwit task show "$task" --json | jq -c '.state, .error, .warnings')"
chown 64101:64101 "$there"
agent_restart h2
wait_until 20 "the old image to go" is_clear
migrate web h2 --datastore local >/dev/null || fail "it did not move again"
godwit vm stop web --force
qemu-img check -q "$there/data.qcow2" || fail "the image is damaged"
qemu-io -f qcow2 -r -c "read -q -P 7 64M 60M" "$there/data.qcow2" || fail "its content was lost"
nothing_is_left
