# shellcheck shell=bash disable=SC2034
# SPDX-License-Identifier: Apache-2.0
# The destination's agent is not configured for migration.
finds=('error|migration-disabled|destination check|destination')
ends='migration-disabled|destination check|destination'
words='migration is (disabled|not enabled) on host .?h2'
inject() { setting h2 's/^enabled=true/enabled=false/'; }
heal() { settings_back h2; }
