# shellcheck shell=bash disable=SC2034
# SPDX-License-Identifier: Apache-2.0
# The destination has promised its cores to another VM.
finds=('error|cpu-short|destination check|destination')
ends='cpu-short|destination check|destination'
words='percent of a core short .*reserves 50'
inject() { other_on_h2 --memory 64 --cpus 8 --cpu-reservation $(($(godwit host show h2 --json | jq .facts.cpus) * 100 - 20)); }
heal() { no_other; }
