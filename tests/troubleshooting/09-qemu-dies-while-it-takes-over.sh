# shellcheck shell=bash disable=SC2034
# SPDX-License-Identifier: Apache-2.0
# The destination's QEMU is killed in the switch-over.
ends='qemu-died|switch-over|destination'
words='QEMU of VM vm on host h2 ended during the move: signal 9'
hold=switch-over
inject() { kill_program h2 qemu-system-x86; }
