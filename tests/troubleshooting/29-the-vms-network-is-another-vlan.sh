# shellcheck shell=bash disable=SC2034
# SPDX-License-Identifier: Apache-2.0
# Both hosts have a network of that name, and each another one. (Real VLANs: tests/hosts.)
finds=('error|network-vlan-differs|destination check|destination')
ends='network-vlan-differs|destination check|destination'
words='VLAN 100 on host .h1. and VLAN 200 on host .h2.'
inject() {
    agent_restart h1 sed -i 's/^bridge=br0/&\nvlan=100/' "$lab_dir/hosts/h1/agent.conf"
    setting h2 's/^bridge=br0/&\nvlan=200/'
}
heal() {
    agent_restart h1 sed -i '/^vlan=100/d' "$lab_dir/hosts/h1/agent.conf"
    settings_back h2
}
