#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# usage: a-debian-server-moves-with-its-database.sh BUILD [MOVES [bios|uefi]]
# A Debian server on a shared disk moves to and fro under load, and after each move its clients have lost nothing: PostgreSQL under pgbench (no failed
# transaction, books that balance, amcheck, checksums), Redis under a writer that reads back what was acknowledged, one long download, a ping each 10 ms.
# Shut down, its file system is clean.
. "$(dirname "$0")/../functions.sh" "$1"
. "$tests/server.sh"
moves=${2:-2}
firmware=${3:-bios}

lab_up
server_up "$firmware"
say "ready after $SECONDS s"
clients_start "$moves"
say "all clients are at work after $SECONDS s"
here=h1
for ((move = 1; move <= moves; move++)); do
    there=$([ $here = h1 ] && echo h2 || echo h1)
    before=$(lines ping)
    task=$(migrate db $there) || fail "move $move: $(jq -c .error <<<"$task")"
    jq -e --arg to $there '.state == "success" and .destination == $to' <<<"$task" >/dev/null || fail "move $move: $task"
    [ "$(vm_host db)" = $there ] || fail "the manager shows db on $(vm_host db)"
    clients_are_well
    say "move $move to $there: $(jq -r '"\(.duration_ms) ms, downtime \(.downtime_ms) ms, \(.rounds | length) rounds, \(.bytes_on_wire) bytes"' <<<"$task"), $(pings_of "$before"), Redis $(tail -n 1 "$out/redis")"
    here=$there
done

clients_end
say "$transactions_done transactions, none failed"
server_end
say "done after $SECONDS s"
