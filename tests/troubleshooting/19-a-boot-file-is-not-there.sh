# shellcheck shell=bash disable=SC2034
# SPDX-License-Identifier: Apache-2.0
# The kernel from which the VM boots is on a disk that only the source has.
finds=('error|boot-file-missing|destination check|destination')
ends='boot-file-missing|destination check|destination'
words='kernel .*/datastore/kernel .*No such file'
inject() { mv "$lab_dir/datastore/kernel" "$lab_dir/datastore/away"; }
heal() { mv "$lab_dir/datastore/away" "$lab_dir/datastore/kernel"; }
