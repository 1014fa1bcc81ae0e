# shellcheck shell=bash disable=SC2034
# SPDX-License-Identifier: Apache-2.0
# The destination's agent knows no network of that name.
finds=('error|network-missing|destination check|destination')
ends='network-missing|destination check|destination'
words='host .?h2.? has no network .?vmnet'
inject() { setting h2 's/^\[network vmnet\]/[network other]/'; }
heal() { settings_back h2; }
