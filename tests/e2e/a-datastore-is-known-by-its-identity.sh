#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Two hosts that have a datastore mounted at different places: a Linux guest with its disk in use there moves there and back, and QEMU itself checks that nothing
# of the disk was left in its host's cache. (What is wrong with a datastore is found before a move: tests/troubleshooting.)
. "$(dirname "$0")/../functions.sh" "$1"
elsewhere=/run/gwt-$$-elsewhere
on_exit "rmdir '$elsewhere'"
mkdir "$elsewhere"
# QEMU's own check for a shared disk, which only it can make; the rest is the machine's QEMU.
lab_up --hosts 2 --qemu "$build/tests/tools/qemu-checks-caches"
mount --bind "$lab_dir/datastore" "$elsewhere"
on_exit "umount '$elsewhere'"
agent_restart h2 sed -i "s|^path=.*|path=$elsewhere|" "$lab_dir/hosts/h2/agent.conf"
both_see_it() { godwit datastore ls --json | jq -e '.datastores[0] | (.identities | length == 1) and [.hosts[].state] == ["ok", "ok"] and .hosts[0].path != .hosts[1].path' >/dev/null; }
wait_until 30 "both hosts to see the datastore" both_see_it
godwit datastore ls

disk_image data 64M >/dev/null
# Built on another image, by its relative name: each host finds it beside the first.
mv "$lab_dir/datastore/data.qcow2" "$lab_dir/datastore/base.qcow2"
(cd "$lab_dir/datastore" && qemu-img create -q -f qcow2 -b base.qcow2 -F qcow2 data.qcow2 && chown 64101:64101 data.qcow2)
linux_vm web h1 256 1 "gw.disk=16" shared:data.qcow2
[ "$(godwit vm show web --json | jq -c '.spec.disks[0] | [.path, .datastore, .file]')" = '["","shared","data.qcow2"]' ] || fail "$(godwit vm show web --json)"
observer_start
wait_until 30 "the client's first answers" observer_answered 3
goes_on() { [ "$(guest_says disk | jq .seq)" -gt "$1" ]; }
for to in h2 h1; do
    task=$(migrate web $to --verify) || fail "it did not move to $to: $(jq -c .error <<<"$task")"
    wait_until 30 "the guest's disk to go on" goes_on "$(guest_says disk | jq .seq)"
done
[ "$(guest_says disk | jq '.bad + .errors')" = 0 ] || fail "the guest found bad blocks: $(guest_says disk)"
[ "$(jq -r '.specification.vm.disks[0].file' <<<"$(godwit task show "$(jq -r .task <<<"$task")" --json)")" = data.qcow2 ] || fail "the task does not say which disk"

# A disk on virtio-scsi and a CD go along, and the CD is nobody's to write. (It is QEMU's user's: of others' files the kernel does not tell who may only read
# them what is in the cache.)
(cd "$lab_dir/datastore" && truncate -s 4M scsi.raw cd.iso && chown 64101:64101 scsi.raw cd.iso && chmod 444 cd.iso)
checker_vm scsi h1 64 1 tcg "mb=8 rate=2 mode=page" --disk shared:scsi.raw,bus=virtio-scsi --disk shared:cd.iso,media=cdrom
task=$(migrate scsi h2) || fail "the VM with a SCSI disk and a CD did not move: $(jq -c .error <<<"$task")"
checker_is_whole scsi
godwit vm stop scsi --force

# A second VM on the disk is refused before its QEMU is started.
expect_error disk-locked godwit vm create other --memory 128 --host h2 --disk shared:data.qcow2 --start
# The storage goes away under h2, and comes back.
in_h2() { nsenter --target "$(pids_in h2 godwit-agent)" --mount "$@"; }
in_h2 umount "$elsewhere"
is_missing() { prints 'h1 ok, h2 missing' godwit datastore ls; }
wait_until 30 "the loss to be seen" is_missing
prints "'shared' cannot be used on host 'h2': it is missing" godwit event ls --host h2 --type DatastoreInaccessibleEvent || fail "no event of it"
expect_error datastore-known godwit datastore init shared --host h2
expect_error datastore-not-mounted godwit vm migrate web --to h2
in_h2 mount --bind "$lab_dir/datastore" "$elsewhere"
wait_until 30 "both hosts to see the datastore" both_see_it
prints "again" godwit event ls --host h2 --type DatastoreAccessibleEvent || fail "no event of its return"
godwit vm stop web --force
qemu-img check -q "$lab_dir/datastore/data.qcow2" || fail "the image is damaged"
