# shellcheck shell=bash disable=SC2034
# SPDX-License-Identifier: Apache-2.0
# Another storage is mounted where the VM's is: a copy of its disk, to the last byte.
finds=('error|disk-differs|source check and lock|destination')
ends='disk-differs|source check and lock|destination'
words='vm.qcow2 of VM .vm. is not the same .*inode'
inject() { in_h2 mount --bind "$lab_dir/datastore/copy.qcow2" "$disk"; }
heal() { in_h2 umount "$disk"; }
