# shellcheck shell=bash disable=SC2034
# SPDX-License-Identifier: Apache-2.0
# Nothing is mounted where the datastore was: an empty folder is no second datastore.
finds=('error|datastore-not-mounted|destination check|destination')
ends='datastore-not-mounted|destination check|destination'
words="datastore 'shared'.*is not there on host 'h2'.*is not mounted"
inject() { in_h2 mount -t tmpfs -o mode=777 none "$lab_dir/datastore" && in_h2 cp "$checker" "$lab_dir/datastore/kernel"; }
heal() { in_h2 umount "$lab_dir/datastore"; }
