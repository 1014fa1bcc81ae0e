# shellcheck shell=bash disable=SC2034
# SPDX-License-Identifier: Apache-2.0
# A device between the hosts loses large packets without a word: connections stand, come back again and again, and memory does not cross.
finds=('warning|path-mtu|source check and lock|source' 'warning|path-mtu|source check and lock|destination')
ends='resume-limit|copy|source'
words='packets of 1500 bytes do not pass .*1300'
with=(--resume-limit 1)
inject() { rule h2 'iifname "eth-mig" meta length > 1300 drop'; }
heal() { no_rule h2; }
