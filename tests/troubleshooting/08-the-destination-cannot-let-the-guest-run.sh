# shellcheck shell=bash disable=SC2034
# SPDX-License-Identifier: Apache-2.0
# All has arrived, and the guest's network port is gone on the destination when it should run there: the destination's own reason ends the task.
ends='tap-missing|switch-over|destination'
words='network port 1 of VM vm on host h2'
hold=copy
inject() {
    local port
    for port in $(ip -n "$lab_name-h2" -o link | sed -n 's/^[0-9]*: \(vm[^:@]*\)[:@].*/\1/p'); do
        ip -n "$lab_name-h2" link del "$port"
    done
}
