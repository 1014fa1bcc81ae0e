# shellcheck shell=bash disable=SC2034
# SPDX-License-Identifier: Apache-2.0
# The hosts are in different subnets for each other, and there is no route.
finds=('error|migration-port-unreachable|source check and lock|source' 'warning|migration-port-unreachable|source check and lock|destination')
ends='connect-failed|copy|source'
words='No route to host|Network is unreachable'
inject() { ip -n "$lab_name-h1" route add unreachable 198.18.2.12; }
heal() { ip -n "$lab_name-h1" route del unreachable 198.18.2.12; }
