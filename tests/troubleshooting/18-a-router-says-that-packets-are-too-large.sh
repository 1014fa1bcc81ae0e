# shellcheck shell=bash disable=SC2034
# SPDX-License-Identifier: Apache-2.0
# There is a router between the hosts whose link passes less than theirs, and which says so: the move goes on with smaller packets.
finds=('warning|path-mtu|source check and lock|source' 'warning|path-mtu|source check and lock|destination')
ends=moved
words='packets of 1500 bytes do not pass .*1400.*and says so'
way=(1400 198.18.2.254/24 198.18.2.11 198.18.2.12)
inject() { router_up "${way[@]}"; }
witness() { ip -n "$lab_name-h1" route get 198.18.2.12 | grep -q 'mtu 1400'; }
heal() { router_down "${way[@]}"; }
