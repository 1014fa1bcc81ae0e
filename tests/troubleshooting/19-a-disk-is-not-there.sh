# shellcheck shell=bash disable=SC2034
# SPDX-License-Identifier: Apache-2.0
# The path of the VM's disk leads nowhere on the destination.
finds=('error|disk-missing|destination check|destination')
ends='disk-missing|destination check|destination'
words='vm.qcow2 of VM .vm. does not exist on host .h2'
inject() { in_h2 mount -t tmpfs none "$lab_dir/datastore" && in_h2 cp "$checker" "$lab_dir/datastore/kernel"; }
heal() { in_h2 umount "$lab_dir/datastore"; }
