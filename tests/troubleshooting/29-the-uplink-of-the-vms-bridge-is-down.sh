# shellcheck shell=bash disable=SC2034
# SPDX-License-Identifier: Apache-2.0
# The bridge has its network card, which somebody set down.
finds=('warning|network-uplink-down|destination check|destination')
words='cut off on host .h2.: eth-vm is down'
inject() { ip -n "$lab_name-h2" link set eth-vm down; }
heal() { ip -n "$lab_name-h2" link set eth-vm up; }
