#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# At least 99 % of a move's bytes cross the migration network, counted at the interfaces of the source.
. "$(dirname "$0")/../functions.sh" "$1"
lab_up --hosts 2
checker_vm bulk h1 512 1 tcg "mb=128 rate=10 mode=page"
sent() { godwit lab exec h1 -- ip -s -j link show dev "$1" | jq '.[0].stats64.tx.bytes'; }
migration=$(sent eth-mig) management=$(sent eth-mgmt)
task=$(migrate bulk h2) || fail "$(jq -c .error <<<"$task")"
migration=$(($(sent eth-mig) - migration)) management=$(($(sent eth-mgmt) - management))
wire=$(jq .bytes_on_wire <<<"$task")
say "migration network $migration bytes, management $management bytes, the task says $wire"
[ $((management * 100)) -le $((migration + management)) ] || fail "more than 1 % went over the management network"
[ "$migration" -ge $((128 * 1024 * 1024)) ] || fail "the memory did not cross the migration network"
[ "$wire" -le "$migration" ] && [ $((wire * 100)) -ge $((migration * 90)) ] || fail "the task's count of bytes is not what crossed"
