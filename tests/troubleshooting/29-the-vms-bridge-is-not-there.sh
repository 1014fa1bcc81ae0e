# shellcheck shell=bash disable=SC2034
# SPDX-License-Identifier: Apache-2.0
# The bridge of the VM's network is gone on the destination.
finds=('error|bridge-missing|destination check|destination')
ends='bridge-missing|destination check|destination'
words='br0.*vmnet.*does not exist on host .h2'
inject() {
    ip -n "$lab_name-h2" link set br0 down
    ip -n "$lab_name-h2" link set br0 name away
}
heal() {
    ip -n "$lab_name-h2" link set away name br0
    ip -n "$lab_name-h2" link set br0 up
}
