# shellcheck shell=bash disable=SC2034
# SPDX-License-Identifier: Apache-2.0
# The guest writes as fast as it can, over a link and within limits that are too narrow for that.
ends='not-converging|copy|source'
words='faster'
with=(--bandwidth 8 --stun-limit 1 --max-downtime 100)
inject() {
    vm=fast
    guest h1 "mb=8 rate=0 seed=8"
}
heal() {
    no_guest
    vm=vm
}
