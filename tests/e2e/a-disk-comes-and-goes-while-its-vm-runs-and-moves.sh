#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A disk is made for a Linux guest that runs, written, moved with it, read where it is then, made larger, which the guest sees, and taken away again; the
# guest moves after each of these. A CD is changed between moves. What is wrong is refused with its sentence, and a change while the VM moves with the task's id.
. "$(dirname "$0")/../functions.sh" "$1"
lab_up
store=$lab_dir/datastore
own() { chown 64101:64101 "$store/$1"; }
linux_vm web h1 256 1 gw.shell
[ "$(godwit vm show web --json | jq -r .spec.hardware)" = 2 ] || fail "a new VM has no place for disks that come"

# guest COMMAND: typed on the console; ends with OK if it succeeded, which the typed line does not show
n_typed=0
guest_did() { console_has web "DID${n_typed}OK"; }
guest() {
    n_typed=$((n_typed + 1))
    godwit vm console web --type "$1 && echo DID\${A}${n_typed}OK" >/dev/null
    wait_until 60 "the guest to do: $1" guest_did
}
disk() { godwit vm disk ls web --json | jq -r ".disks[] | select(.name == \"$1\") | .$2"; }
event_says() { grep -q -- "$1" <<<"$(godwit event ls --vm web --type VmReconfiguredEvent)"; }

# The guest sees it, writes it, and has it at the other host.
godwit vm disk create web --datastore shared --file data.qcow2 --size 64M
[ "$(disk disk0 size_bytes)" = $((64 << 20)) ] || fail "the disk is $(disk disk0 size_bytes) bytes large"
[ "$(disk disk0 bus)" = virtio-scsi ] || fail "the disk is at $(disk disk0 bus)"
guest 'sleep 1; grep -q "sda$" /proc/partitions'
guest 'dd if=/dev/urandom of=/data bs=64K count=4 2>/dev/null; dd if=/data of=/dev/sda bs=64K 2>/dev/null; sync'
migrate web h2 >/dev/null || fail "the move with a disk that came while the VM ran"
guest 'echo 3 >/proc/sys/vm/drop_caches; dd if=/dev/sda bs=64K count=4 2>/dev/null | cmp - /data'

# Larger, at the host that it came to.
godwit vm disk resize web disk0 --size 96M
[ "$(disk disk0 size_bytes)" = $((96 << 20)) ] || fail "the disk is $(disk disk0 size_bytes) bytes large after it grew"
guest 'sleep 1; [ $(cat /sys/block/sda/size) = 196608 ]'
expect_error disk-shrinks godwit vm disk resize web disk0 --size 32M
migrate web h1 >/dev/null || fail "the move with a disk that has grown"
guest '[ $(cat /sys/block/sda/size) = 196608 ] && dd if=/dev/sda bs=64K count=4 2>/dev/null | cmp - /data'

# A full copy and a linked clone of an image, in slots of their own; a hole in the middle moves too.
qemu-img create -q -f qcow2 "$store/base.qcow2" 32M && own base.qcow2
qemu-io -f qcow2 -c 'write -q -P 65 0 1M' "$store/base.qcow2" >/dev/null
godwit vm disk create web --datastore shared --from shared:base.qcow2
godwit vm disk create web --datastore shared --file clone.qcow2 --backing shared:base.qcow2
[ "$(disk disk1 file)" = web-disk1.qcow2 ] || fail "the copy is $(disk disk1 file)"
[ "$(disk disk2 'backing | length')" = 1 ] || fail "the clone is built on $(disk disk2 backing)"
guest 'sleep 1; head -c 4 /dev/sdb | grep -q AAAA && head -c 4 /dev/sdc | grep -q AAAA'
godwit vm disk detach web disk1 --delete
[ ! -e "$store/web-disk1.qcow2" ] || fail "the image of the detached disk is still there"
guest 'sleep 1; ! grep -q "sdb$" /proc/partitions'
migrate web h2 >/dev/null || fail "the move after a disk in the middle has gone"
guest 'head -c 4 /dev/sdc | grep -q AAAA && dd if=/dev/sda bs=64K count=4 2>/dev/null | cmp - /data'

# A CD goes in and out between moves.
for cd in one two; do
    head -c 1M /dev/zero | tr '\0' "${cd:0:1}" >"$store/$cd.iso" && own "$cd.iso"
done
godwit vm disk attach web shared:one.iso,media=cdrom
guest 'sleep 1; head -c 4 /dev/sr0 | grep -q oooo'
godwit vm disk insert web disk1 shared:two.iso
migrate web h1 >/dev/null || fail "the move with another CD"
guest 'head -c 4 /dev/sr0 | grep -q tttt'
godwit vm disk eject web disk1
[ "$(disk disk1 file)" = "" ] || fail "the drive has $(disk disk1 file) after it was emptied"
migrate web h2 >/dev/null || fail "the move with an empty drive"
guest '! head -c 4 /dev/sr0 2>/dev/null | grep -q tttt'

# Each wrong wish has its sentence.
expect_error disk-exists godwit vm disk create web --datastore shared --file base.qcow2 --size 1G
expect_error datastore-missing godwit vm disk create web --datastore nosuch --size 1G
expect_error disk-backing-missing godwit vm disk create web --datastore shared --backing shared:nosuch.qcow2
expect_error disk-format-differs godwit vm disk attach web shared:base.qcow2,format=raw
expect_error disk-not-found godwit vm disk detach web disk7
expect_error hot-plug-bus godwit vm disk create web --datastore shared --size 1G --bus virtio
godwit vm create other --memory 64 --host h1 --disk shared:other.qcow2 >/dev/null
qemu-img create -q -f qcow2 "$store/other.qcow2" 32M && own other.qcow2
expect_error disk-in-use godwit vm disk attach web shared:other.qcow2
expect_error disk-in-use godwit vm disk create web --datastore shared --backing shared:other.qcow2
godwit vm start other >/dev/null
expect_error disk-is-boot godwit vm disk detach other disk0
for usage in "create web --datastore shared" "create web --size 1G" "create web --datastore shared --size much" "resize web disk0" "frob web"; do
    status=0
    # shellcheck disable=SC2086 # words
    godwit vm disk $usage >/dev/null 2>&1 || status=$?
    [ $status = 2 ] || fail "exit $status instead of 2 from: $usage"
done

# While a task has it nobody changes its disks.
task=$(godwit vm migrate web --to h1 --bandwidth 5 --detach)
copies() { [ "$(godwit task show "$task" --json | jq -r .phase)" = copy ]; }
wait_until 30 "the copy" copies
answer=$(godwit vm disk detach web disk2 --json || true)
[ "$(jq -r .error.id <<<"$answer")" = task-running ] || fail "a change while it moves: $answer"
[ "$(jq -r .error.arguments.task <<<"$answer")" = "$task" ] || fail "the task is not named: $answer"
godwit task cancel "$task" >/dev/null
wait_until 30 "the task to end" task_is_over "$task"

# All gone, and the VM still moves; the events say what was done.
for name in disk0 disk1 disk2; do godwit vm disk detach web "$name"; done
[ "$(godwit vm disk ls web --json | jq '.disks | length')" = 0 ] || fail "the VM still has disks"
[ -e "$store/data.qcow2" ] || fail "an image was deleted that was only detached"
guest 'sleep 1; ! grep -q "sd[a-z]$" /proc/partitions'
migrate web h1 >/dev/null || fail "the move of a VM whose disks have gone"
guest '[ -s /data ]'
event_says "disk shared:data.qcow2 was made and attached" || fail "no event tells of the new disk"
event_says "disk disk1 was detached and deleted" || fail "no event tells of the deleted disk"

# Off: the same commands change what it starts with.
boots() { godwit vm console web --log | grep -c "GUEST ready" || true; }
has_booted() { [ "$(boots)" -gt "$n_boots" ]; }
n_boots=$(boots)
godwit vm stop web --force >/dev/null
godwit vm disk attach web shared:data.qcow2 --bus virtio
godwit vm disk resize web shared:data.qcow2 --size 128M
godwit vm start web >/dev/null
wait_until 60 "the guest to be ready" has_booted
n_typed=100
guest '[ $(cat /sys/block/vda/size) = 262144 ]'
expect_error hot-plug-bus godwit vm disk detach web disk0
leftovers=$(find "$store" -name '*.part')
[ -z "$leftovers" ] || fail "left on the datastore: $leftovers"
