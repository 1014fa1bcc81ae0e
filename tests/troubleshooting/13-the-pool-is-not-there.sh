# shellcheck shell=bash disable=SC2034
# SPDX-License-Identifier: Apache-2.0
# The resource pool that the VM should be in afterwards was deleted.
ends='pool-not-found||'
words='gone'
with=(--pool gone)
pool=gone
inject() { godwit pool rm gone >/dev/null; }
heal() { godwit pool create gone >/dev/null; }
