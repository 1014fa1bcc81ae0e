# shellcheck shell=bash disable=SC2034
# SPDX-License-Identifier: Apache-2.0
# The destination has a raw image in the place of the VM's.
finds=('error|disk-format-differs|destination check|destination' 'error|disk-differs|source check and lock|destination')
ends='disk-format-differs|destination check|destination'
words='shared:vm.qcow2 of VM .vm. is not a qcow2 image on host .h2'
inject() {
    truncate -s 8M "$lab_dir/raw"
    chown 64101:64101 "$lab_dir/raw"
    in_h2 mount --bind "$lab_dir/raw" "$disk"
}
heal() {
    in_h2 umount "$disk"
    rm "$lab_dir/raw"
}
