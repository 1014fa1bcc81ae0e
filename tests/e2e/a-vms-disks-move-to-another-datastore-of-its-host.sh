#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The disks of a VM that stays on its host move to another datastore of it, while its guest writes to them, and while it is off. No acknowledged write is lost, what is empty stays
# empty, the old images go. What is cancelled, killed or has no room leaves the old images in use and removes the new ones.
. "$(dirname "$0")/../functions.sh" "$1"
. "$tests/local-datastores.sh"
lab_up --hosts 2
add_small_datastore h1
local_datastores h1 h2
small_datastore h1
there=$(datastore_of h1) shared=$lab_dir/datastore

# Thin, with 60 MiB that are known and take a while, and built on another image: the copy is whole. A second one, raw, which is all empty; a CD, which stays.
base=$(disk_image base 1G)
image=$shared/data.qcow2
qemu-img create -q -f qcow2 -b base.qcow2 -F qcow2 "$image"
qemu-io -f qcow2 -c "write -q -P 7 64M 60M" "$image"
qemu-img create -q -f raw "$shared/raw.raw" 64M
truncate -s 1M "$shared/cd.iso"
chown 64101:64101 "$shared"/*.qcow2 "$shared/raw.raw" "$shared/cd.iso"
godwit vm create web --memory 128 --host h1 --kernel "$linux/vmlinuz" --initrd "$linux/initrd" --append "console=ttyS0 quiet gw.ip=198.18.3.10/24 gw.disk=16" --network vmnet \
    --disk shared:data.qcow2 --disk shared:raw.raw,bus=virtio-scsi --disk shared:cd.iso,media=cdrom --start
wait_until 60 "the guest to be ready" console_has web "GUEST ready"
observer_start
wait_until 30 "the client's first answers" observer_answered 3
goes_on() { [ "$(guest_says disk | jq .seq)" -gt "$1" ]; }
guest_is_well() {
    wait_until 30 "the guest's disk to go on" goes_on "$(guest_says disk | jq .seq)"
    [ "$(guest_says disk | jq '.bad + .errors')" = 0 ] || fail "the guest found bad blocks: $(guest_says disk)"
}
places() { godwit vm show web --json | jq -r '[.spec.disks[] | .datastore + ":" + .file] | join(" ")'; }
expect_places() { [ "$(places)" = "$1" ] || fail "the disks are at '$(places)', not at '$1'"; }
open_images() { find /proc/"$(godwit vm show web --json | jq .pid)"/fd -lname "$lab_dir*" ! -lname "$lab_dir/hosts/*" -printf '%l\n' | sed "s,^$lab_dir/,," | sort -u | tr '\n' ' '; }
# The name of a file that is deleted while it is open ends in "(deleted)".
expect_open() { [ "$(open_images)" = "$1" ] || fail "QEMU has '$(open_images)' open, not '$1'"; }
is_content_kept() { qemu-io -U -f qcow2 -r -c "read -q -P 7 64M 60M" "$1"; }
storage() { godwit vm migrate web "$@" --json 2>/dev/null; }
ends_well() { [ "$(jq -r .state <<<"$1")" = success ] || fail "it did not move: $(jq -c .error,.timeline <<<"$1")"; }
no_images() { [ -z "$(find "$1" -name '*.qcow2' -o -name '*.raw')$(find "$lab_dir/hosts" -name '*.images')" ]; }

# What would not work is refused before anything is made.
expect_error datastore-missing godwit vm migrate web --datastore nowhere
expect_error datastore-no-room godwit vm migrate web --datastore small
expect_error disks-are-there godwit vm migrate web --datastore shared
expect_error same-host godwit vm migrate web --to h1
touch "$there/data.qcow2"
expect_error image-exists godwit vm migrate web --datastore local
[ -e "$there/data.qcow2" ] || fail "a file of somebody else was removed"
rm "$there/data.qcow2"
# Another VM's disk is built on one of them, by somebody who knew better than 'vm disk create'.
qemu-img create -q -f qcow2 -b data.qcow2 -F qcow2 "$lab_dir/datastore/clone.qcow2"
chown 64101:64101 "$lab_dir/datastore/clone.qcow2"
godwit vm create clone --host h1 --memory 64 --disk shared:clone.qcow2
expect_error disk-is-backing godwit vm migrate web --datastore local
expect_error disk-is-backing godwit vm migrate web --to h2 --datastore local
godwit vm rm clone
rm "$lab_dir/datastore/clone.qcow2"
guest_is_well

# There, while it runs.
task=$(storage --datastore local)
ends_well "$task"
say "there: downtime $(jq .downtime_ms <<<"$task") ms, $(jq .duration_ms <<<"$task") ms in all; disks $(jq -c .disks <<<"$task")"
expect_places "local:data.qcow2 local:raw.raw shared:cd.iso"
expect_open "datastore/cd.iso local-h1/data.qcow2 local-h1/raw.raw "
guest_is_well
[ ! -e "$image" ] && [ ! -e "$shared/raw.raw" ] || fail "the old images are still there"
[ -e "$base" ] && [ -e "$shared/cd.iso" ] || fail "the image on which it was built, or the CD, is gone"
is_content_kept "$there/data.qcow2" || fail "the content was lost"
qemu-img info -U --output json "$there/data.qcow2" | jq -e '(has("backing-filename") | not) and ."virtual-size" == 1073741824 and ."actual-size" < 100000000' >/dev/null ||
    fail "not thin: $(qemu-img info -U "$there/data.qcow2")"
[ "$(stat -c %b "$there/raw.raw")" -lt 2048 ] || fail "the raw disk is not thin: $(stat -c %b "$there/raw.raw") blocks"
jq -e '.disks | length == 2 and all(.ready and .bytes_done == .bytes_total) and .[0].name == "shared:data.qcow2"' <<<"$task" >/dev/null || fail "$(jq -c .disks <<<"$task")"
jq -e '.source == "h1" and .destination == "h1" and .options.datastore == "local"' <<<"$task" >/dev/null || fail "$task"
prints "VmRelocatedEvent" godwit event ls --json || fail "no event tells of it"

# What is done to a disk goes on working with the one that has moved; and the guest reads what it wrote before, after its agent was restarted.
godwit vm disk resize web disk1 --size 128M >/dev/null
agent_restart h1
expect_open "datastore/cd.iso local-h1/data.qcow2 local-h1/raw.raw "
[ "$(godwit vm disk ls web --json | jq -c '[.disks[] | .size_bytes]')" = '[1073741824,134217728,1048576]' ] || fail "$(godwit vm disk ls web --json)"
guest_is_well

# What is done while it copies back, and how the task ends. Each leaves the disks where they were.
is_copying() { godwit task show "$task" --json | jq -e '.disks[0].bytes_done > 1e6 and .phase == "copy"' >/dev/null; }
while read -r how; do
    task=$(godwit vm migrate web --datastore shared --bandwidth 8 --detach)
    wait_until 60 "the copy of the disk" is_copying
    expect_error task-running godwit vm disk resize web disk1 --size 256M
    case $how in
    cancel) godwit task cancel "$task" >/dev/null ;;
    agent) kill -KILL "$(pids_in h1 godwit-agent)" ;;
    esac
    wait_until 60 "the end of the task" task_is_over "$task"
    say "$how: $(godwit task show "$task" --json | jq -c '[.state, .error.id, .error.phase, .error.side, .error.message, .progress]')"
    [ "$(godwit task show "$task" --json | jq -r .state)" != success ] || fail "the task was a success"
    wait_until 30 "host h1" host_is_connected h1
    wait_until 20 "the new images to go" eval '[ ! -e "$image" ] && [ ! -e "$shared/raw.raw" ] && [ -z "$(find "$lab_dir/hosts" -name "*.images")" ]'
    expect_places "local:data.qcow2 local:raw.raw shared:cd.iso"
    expect_open "datastore/cd.iso local-h1/data.qcow2 local-h1/raw.raw "
    [ "$(vm_state web)" = running ] || fail "the VM is $(vm_state web)"
    guest_is_well
done <<END
cancel
agent
END

# The cap is kept, with progress meanwhile; and it is back.
begin=$SECONDS
task=$(storage --datastore shared --bandwidth 20)
ends_well "$task"
[ $((SECONDS - begin)) -ge 3 ] || fail "60 MiB were copied in $((SECONDS - begin)) s at 20 MB/s"
say "back: downtime $(jq .downtime_ms <<<"$task") ms"
expect_places "shared:data.qcow2 shared:raw.raw shared:cd.iso"
expect_open "datastore/cd.iso datastore/data.qcow2 datastore/raw.raw "
guest_is_well
no_images "$there" || fail "images are left"

# A datastore that has room when it is asked, and is full before the copy is there. A dry run moves nothing.
mount -o remount,size=200m "$lab_dir/small"
wait_until 30 "the room to be seen" eval 'godwit vm migrate web --datastore small --dry-run >"$lab_dir/dry-run" 2>/dev/null'
grep -q "would move to datastore small" "$lab_dir/dry-run" || fail "$(cat "$lab_dir/dry-run")"
expect_places "shared:data.qcow2 shared:raw.raw shared:cd.iso"
task=$(godwit vm migrate web --datastore small --bandwidth 8 --detach)
wait_until 60 "the copy of the disk" is_copying
head -c 250M /dev/zero >"$lab_dir/small/full" 2>/dev/null || true
wait_until 60 "the end of the task" task_is_over "$task"
say "full: $(godwit task show "$task" --json | jq -c '[.state, .error.id, .error.phase, .error.side, .error.message, .error.cause]')"
[ "$(godwit task show "$task" --json | jq -r .error.id)" = datastore-full ] || fail "$(godwit task show "$task" --json | jq -c .error)"
[ -z "$(find "$lab_dir/small" -name '*.qcow2' -o -name '*.raw')" ] || fail "images are left on the full datastore"
expect_places "shared:data.qcow2 shared:raw.raw shared:cd.iso"
expect_open "datastore/cd.iso datastore/data.qcow2 datastore/raw.raw "
guest_is_well

# Its QEMU dies in the copy: it is off, with its old disks.
task=$(godwit vm migrate web --datastore local --bandwidth 8 --detach)
wait_until 60 "the copy of the disk" is_copying
kill -KILL "$(godwit vm show web --json | jq .pid)"
wait_until 60 "the end of the task" task_is_over "$task"
say "QEMU: $(godwit task show "$task" --json | jq -c '[.state, .error.id, .error.message]')"
[ "$(godwit task show "$task" --json | jq -r .error.id)" = qemu-died ] || fail "$(godwit task show "$task" --json | jq -c .error)"
wait_until 20 "the new images to go" no_images "$there"
expect_places "shared:data.qcow2 shared:raw.raw shared:cd.iso"
wait_until 20 "the VM to be off" eval '[ "$(vm_state web)" = off ]'
qemu-img check -q "$image" || fail "the image is damaged"

# Off: cancelled, its agent killed, and moved.
cp --sparse=always "$image" "$lab_dir/before.qcow2"
for how in cancel agent; do
    task=$(godwit vm migrate web --datastore local --bandwidth 8 --detach)
    wait_until 60 "the copy of the disk" is_copying
    expect_error task-running godwit vm start web
    [ $how = agent ] && kill -KILL "$(pids_in h1 godwit-agent)" || godwit task cancel "$task" >/dev/null
    wait_until 60 "the end of the task" task_is_over "$task"
    say "off, $how: $(godwit task show "$task" --json | jq -c '[.state, .error.id, .error.message]')"
    wait_until 30 "host h1" host_is_connected h1
    wait_until 20 "the new images to go" no_images "$there"
    expect_places "shared:data.qcow2 shared:raw.raw shared:cd.iso"
done
task=$(storage --datastore local)
ends_well "$task"
expect_places "local:data.qcow2 local:raw.raw shared:cd.iso"
[ ! -e "$image" ] && [ ! -e "$shared/raw.raw" ] || fail "the old images are still there"
qemu-img check -q "$there/data.qcow2" || fail "the image is damaged"
(cd "$shared" && qemu-img compare -q -f qcow2 -F qcow2 "$lab_dir/before.qcow2" "$there/data.qcow2") || fail "the copy differs"
qemu-img info --output json "$there/data.qcow2" | jq -e '(has("backing-filename") | not) and ."actual-size" < 100000000' >/dev/null || fail "not thin: $(qemu-img info "$there/data.qcow2")"
[ "$(stat -c %b "$there/raw.raw")" -lt 2048 ] || fail "the raw disk is not thin: $(stat -c %b "$there/raw.raw") blocks"

# After all that it starts, goes on with what it wrote, moves under its QEMU and then to the other host with its disks.
godwit vm start web
wait_until 60 "the guest to write again" eval 'guest_says disk | jq -e ".seq > 0" >/dev/null'
ends_well "$(storage --datastore shared)"
ends_well "$(storage --datastore local)"
task=$(migrate web h2 --datastore local) || fail "it did not move: $(jq -c .error,.timeline <<<"$task")"
[ "$(vm_host web)" = h2 ] || fail "the VM is on $(vm_host web)"
guest_is_well
no_images "$there" || fail "images are left"
godwit vm stop web --force
qemu-img check -q "$(datastore_of h2)/data.qcow2" || fail "the image is damaged"
is_content_kept "$(datastore_of h2)/data.qcow2" || fail "the content was lost"
nothing_is_left
