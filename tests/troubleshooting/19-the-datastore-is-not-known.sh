# shellcheck shell=bash disable=SC2034
# SPDX-License-Identifier: Apache-2.0
# The destination's configuration has no datastore of that name.
finds=('error|datastore-missing|destination check|destination')
ends='datastore-missing|destination check|destination'
words="has no datastore 'shared', which VM 'vm' uses.*it has "
inject() { setting h2 's/^\[datastore shared\]/[datastore other]/'; }
heal() { settings_back h2; }
