# shellcheck shell=bash disable=SC2034
# SPDX-License-Identifier: Apache-2.0
# Host h3 has the migration address of h2 as well. The source knows which is meant, so that it is the address alone that a check can find.
finds=('error|address-duplicate|source check and lock|source')
words='migration address 198.18.2.12 of host .h2.: ([0-9a-f]{2}:){5}[0-9a-f]{2} and '
inject() {
    ip -n "$lab_name-h1" neigh replace 198.18.2.12 dev eth-mig lladdr "$(ip netns exec "$lab_name-h2" cat /sys/class/net/eth-mig/address)" nud permanent
    ip -n "$lab_name-h3" addr add 198.18.2.12/32 dev eth-mig
}
heal() {
    ip -n "$lab_name-h3" addr del 198.18.2.12/32 dev eth-mig
    ip -n "$lab_name-h1" neigh del 198.18.2.12 dev eth-mig
}
