# shellcheck shell=bash disable=SC2034
# SPDX-License-Identifier: Apache-2.0
# The bridge was made at the destination, and nobody gave it the network card.
finds=('warning|network-isolated|destination check|destination')
words='bridge br0 has no port but those of VMs'
inject() { ip -n "$lab_name-h2" link set eth-vm nomaster; }
heal() { ip -n "$lab_name-h2" link set eth-vm master br0; }
