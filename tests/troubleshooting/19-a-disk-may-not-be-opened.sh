# shellcheck shell=bash disable=SC2034
# SPDX-License-Identifier: Apache-2.0
# QEMU's user may not open the VM's disk any more.
finds=('error|disk-not-accessible|destination check|destination')
ends='disk-not-accessible|destination check|destination'
words='vm.qcow2 .*Permission denied'
inject() { chown root:root "$disk" && chmod 600 "$disk"; }
heal() { chown 64101:64101 "$disk" && chmod 644 "$disk"; }
