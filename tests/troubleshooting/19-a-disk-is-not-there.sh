# shellcheck shell=bash disable=SC2034
# SPDX-License-Identifier: Apache-2.0
# Somebody renamed the image of the VM's disk. The guest has it open, and runs on.
finds=('error|disk-missing|destination check|destination')
ends='disk-missing|destination check|destination'
words='shared:vm.qcow2 of VM .vm. does not exist on host .h2'
inject() { mv "$disk" "$disk.away"; }
heal() { mv "$disk.away" "$disk"; }
