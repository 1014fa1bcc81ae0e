# shellcheck shell=bash disable=SC2034
# SPDX-License-Identifier: Apache-2.0
# One end of the migration link has jumbo frames, the other has not.
finds=('warning|migration-mtu-differs|destination check|destination')
words='1500 and 1400'
inject() { ip -n "$lab_name-h2" link set eth-mig mtu 1400; }
heal() { ip -n "$lab_name-h2" link set eth-mig mtu 1500; }
