# shellcheck shell=bash disable=SC2034
# SPDX-License-Identifier: Apache-2.0
# The destination has another storage mounted under the name of the VM's, with a copy of its disk, to the last byte.
finds=('error|datastore-differs|destination check|destination' 'error|disk-differs|source check and lock|destination')
ends='datastore-differs|destination check|destination'
words="datastore 'shared' of VM 'vm' is not the same on hosts 'h1' and 'h2'.*00000000-"
inject() {
    local other=$lab_dir/other-store
    cp -a "$lab_dir/datastore" "$other"
    sed -i 's/"uuid" *: *"......../"uuid" : "00000000/' "$other/.godwit-datastore"
    in_h2 mount --bind "$other" "$lab_dir/datastore"
}
heal() {
    in_h2 umount "$lab_dir/datastore"
    rm -rf "$lab_dir/other-store"
}
