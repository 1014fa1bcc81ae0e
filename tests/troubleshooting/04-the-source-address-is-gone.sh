# shellcheck shell=bash disable=SC2034
# SPDX-License-Identifier: Apache-2.0
# The source's agent is configured to send from an address that no interface has.
finds=('error|migration-port-unreachable|source check and lock|source' 'warning|migration-port-unreachable|source check and lock|destination')
ends='source-address|copy|source'
words='Cannot assign requested address'
inject() { ip -n "$lab_name-h1" addr del 198.18.2.11/24 dev eth-mig; }
heal() { ip -n "$lab_name-h1" addr add 198.18.2.11/24 dev eth-mig; }
