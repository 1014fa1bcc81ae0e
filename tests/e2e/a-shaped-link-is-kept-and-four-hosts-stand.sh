#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A lab of four hosts with a shaped migration network: the move takes the link's rate and no more, and goes round all hosts.
. "$(dirname "$0")/../functions.sh" "$1"
lab_up --hosts 4 --link-rate 400mbit --mtu 9000
checker_vm vm h1 256 1 tcg "mb=48 rate=2 mode=page"
for to in h4 h3 h2 h1; do
    task=$(migrate vm $to) || fail "to $to: $(jq -c .error <<<"$task")"
    rate=$(jq '.bytes_on_wire / .copy_ms / 1000' <<<"$task")
    say "to $to: $rate MB/s, downtime $(jq .downtime_ms <<<"$task") ms"
    # 400 Mbit/s are 50 MB/s; the bucket's burst and the rounding are in the margin.
    jq -e '.bytes_on_wire / .copy_ms / 1000 < 55' <<<"$task" >/dev/null || fail "faster than the link: $rate MB/s"
done
checker_is_whole vm
