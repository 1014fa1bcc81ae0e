# shellcheck shell=bash disable=SC2034
# SPDX-License-Identifier: Apache-2.0
# The switch has the destination's port in another broadcast domain, as a wrong VLAN does it.
finds=('error|migration-port-unreachable|source check and lock|source' 'warning|migration-port-unreachable|source check and lock|destination')
ends='connect-failed|copy|source'
words='nothing was heard|no answer|No route to host|timed out'
inject() {
    ip -n "$lab_name-sw" link add vlan20 up type bridge
    ip -n "$lab_name-sw" link set h2-mig master vlan20
}
heal() {
    ip -n "$lab_name-sw" link set h2-mig master mig
    ip -n "$lab_name-sw" link del vlan20
}
