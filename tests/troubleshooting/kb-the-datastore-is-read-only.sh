# shellcheck shell=bash disable=SC2034
# SPDX-License-Identifier: Apache-2.0
# The destination has the datastore mounted read-only.
finds=('error|datastore-read-only|destination check|destination')
ends='datastore-read-only|destination check|destination'
words="datastore 'shared'.*is read-only on host 'h2'"
inject() {
    in_h2 mount --bind "$lab_dir/datastore" "$lab_dir/datastore"
    in_h2 mount -o remount,bind,ro "$lab_dir/datastore"
}
heal() { in_h2 umount "$lab_dir/datastore"; }
