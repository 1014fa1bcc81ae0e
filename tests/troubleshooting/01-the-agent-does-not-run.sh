# shellcheck shell=bash disable=SC2034
# SPDX-License-Identifier: Apache-2.0
# The destination's agent is off.
finds=('error|host-disconnected|destination check|destination')
ends='host-disconnected|destination check|destination'
words='does not answer'
inject() { agent_off h2; }
heal() { agent_restart h2; }
