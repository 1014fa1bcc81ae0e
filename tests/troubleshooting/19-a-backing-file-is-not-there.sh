# shellcheck shell=bash disable=SC2034
# SPDX-License-Identifier: Apache-2.0
# Somebody renamed the image that the VM's is built on. The guest has it open, and runs on.
finds=('error|disk-backing-missing|destination check|destination')
ends='disk-backing-missing|destination check|destination'
words='shared:vm.qcow2 of VM .vm. needs .*/base.qcow2, which .*No such file'
inject() { mv "$lab_dir/datastore/base.qcow2" "$lab_dir/datastore/away"; }
heal() { mv "$lab_dir/datastore/away" "$lab_dir/datastore/base.qcow2"; }
