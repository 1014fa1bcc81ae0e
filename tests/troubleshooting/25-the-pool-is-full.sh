# shellcheck shell=bash disable=SC2034
# SPDX-License-Identifier: Apache-2.0
# The resource pool that the VM should be in afterwards has a limit below what it needs.
finds=('error|pool-memory-short|destination check|manager')
ends='pool-memory-short|destination check|manager'
words='pool .small. is 28 MiB short of memory'
with=(--pool small)
pool=small
inject() { godwit pool set small --memory-limit $((100 + $(godwit vm show vm --json | jq .overhead_mib))) >/dev/null; }
heal() { godwit pool set small --memory-limit 1000 >/dev/null; }
