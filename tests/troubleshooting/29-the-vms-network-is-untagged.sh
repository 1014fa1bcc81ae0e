# shellcheck shell=bash disable=SC2034
# SPDX-License-Identifier: Apache-2.0
# The destination has it tagged, and the source, whose switch port may do that, does not.
finds=('warning|network-vlan-untagged|destination check|destination')
words='VLAN 100 on host .h2., and untagged on host .h1.'
inject() { setting h2 's/^bridge=br0/&\nvlan=100/'; }
heal() { settings_back h2; }
