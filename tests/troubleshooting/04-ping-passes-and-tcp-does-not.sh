# shellcheck shell=bash disable=SC2034
# SPDX-License-Identifier: Apache-2.0
# A firewall lets pings through, and drops what goes to the migration port.
finds=('error|migration-port-unreachable|source check and lock|source')
ends='connect-failed|copy|source'
words='answers a ping, but no connection|no answer within|timed out'
inject() { rule h2 'tcp dport 8000 drop'; }
heal() { no_rule h2; }
