# shellcheck shell=bash disable=SC2034
# SPDX-License-Identifier: Apache-2.0
# A firewall answers in the door's place that nobody listens.
finds=('error|migration-port-unreachable|source check and lock|source')
ends='connect-failed|copy|source'
words='Connection refused'
inject() { rule h2 'tcp dport 8000 reject with tcp reset'; }
heal() { no_rule h2; }
