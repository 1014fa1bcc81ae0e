#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# usage: a-debian-server-moves-with-its-database.sh BUILD [MOVES [bios|uefi [shared|local]]]
# A Debian server moves to and fro under load, on a disk that both hosts see ("shared") or with its disk ("local"), and after each move its clients have lost nothing: PostgreSQL under pgbench (no failed
# transaction, books that balance, amcheck, checksums), Redis under a writer that reads back what was acknowledged, one long download, a ping each 10 ms.
# Shut down, its file system is clean.
. "$(dirname "$0")/../functions.sh" "$1"
. "$tests/local-datastores.sh"
. "$tests/server.sh"
moves=${2:-2}
firmware=${3:-bios}
store=${4:-shared}
along=()

lab_up
if [ "$store" = local ]; then
    local_datastores h1 h2
    folder=$(datastore_of h1)
    along=(--datastore local)
fi
server_up "$firmware" "$store" "$folder"
say "ready after $SECONDS s"
clients_start "$moves"
say "all clients are at work after $SECONDS s"
here=h1
for ((move = 1; move <= moves; move++)); do
    there=$([ $here = h1 ] && echo h2 || echo h1)
    before=$(lines ping)
    task=$(migrate db $there "${along[@]}") || fail "move $move: $(jq -c .error <<<"$task")"
    jq -e --arg to $there '.state == "success" and .destination == $to' <<<"$task" >/dev/null || fail "move $move: $task"
    [ "$(vm_host db)" = $there ] || fail "the manager shows db on $(vm_host db)"
    [ "$store" = shared ] || folder=$(datastore_of $there)
    clients_are_well
    say "move $move to $there: $(jq -r '"\(.duration_ms) ms, downtime \(.downtime_ms) ms, \(.rounds | length) rounds, \(.bytes_on_wire) bytes"' <<<"$task"), $(pings_of "$before"), Redis $(tail -n 1 "$out/redis")"
    here=$there
done

clients_end
say "$transactions_done transactions, none failed"
server_end "$folder"
say "done after $SECONDS s"
