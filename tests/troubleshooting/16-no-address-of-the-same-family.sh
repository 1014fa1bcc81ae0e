# shellcheck shell=bash disable=SC2034
# SPDX-License-Identifier: Apache-2.0
# One host has an IPv4 address on the migration network, the other an IPv6 address.
finds=('error|migration-addresses|specification|manager')
ends='migration-addresses|specification|manager'
words='no pair of migration addresses of the same family'
inject() {
    ip -n "$lab_name-h2" addr add fd00::12/64 dev eth-mig nodad
    setting h2 's/^addresses=.*/addresses=fd00::12/'
}
heal() {
    settings_back h2
    ip -n "$lab_name-h2" addr del fd00::12/64 dev eth-mig
}
