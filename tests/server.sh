# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# A Debian server with a database in a lab, and the clients outside that lose nothing when it moves: PostgreSQL under pgbench, Redis under a writer that reads
# back what was acknowledged, one long download, a ping each 10 ms. Sourced after functions.sh by what moves it (an end-to-end test, the demo).
debian=$build/guests/debian
address=198.18.3.10
folder=$lab_dir/datastore
out=$lab_dir/clients
# Seconds that a move takes with all that is looked at after it, at least.
server_pace=20

in_client() { godwit lab exec client -- "$@"; }
query() { in_client psql -h $address -U postgres -d bench -XAtc "$1"; }
gone() { ! kill -0 "$1" 2>/dev/null; }
# client NAME COMMAND…: in the background, its output in $out; its number is ${pids[NAME]}
declare -A pids=()
client() {
    local name=$1
    shift
    # Not by the function, whose shell the signals would reach.
    godwit lab exec client -- "$@" >"$out/$name" 2>&1 </dev/null &
    pids[$name]=$!
    on_exit "kill ${pids[$name]} 2>/dev/null || true"
}
lines() { wc -l <"$out/$1"; }
has_lines() { gone "${pids[$1]}" && fail "$1 ended: $(tail -n 5 "$out/$1")"; [ "$(lines "$1")" -gt "$2" ]; }
download_grew() { gone "${pids[download]}" || [ "$(stat -c %s "$out/file")" -gt "$1" ]; }
transactions() { query "SELECT count(*) FROM pgbench_history"; }
has_transactions() { [ "$(transactions)" -gt "$1" ]; }

# server_up FIRMWARE [STORE FOLDER]: its disk is on that datastore, "shared" if none is named
server_up() {
    local flash=() store=${2:-shared} disk=${3:-$folder}/db.qcow2
    mkdir "$out"
    cp --sparse=always "$debian/disk.qcow2" "$disk"
    chown 64101:64101 "$disk"
    [ "$1" = bios ] || flash=(--firmware "$1" --nvram "$folder/db.nvram")
    godwit vm create db --host h1 --memory 512 --cpus 2 --network vmnet --disk "$store:db.qcow2" "${flash[@]}" --start
    wait_until 600 "the server to be ready" console_has db "GUEST ready"
}

# clients_start MOVES: so many are to come
clients_start() {
    wait_until 30 "PostgreSQL" in_client pg_isready -q -h $address
    in_client createdb -h $address -U postgres bench
    in_client "$debian/pgbench" -h $address -U postgres -q -i bench >"$out/init" 2>&1 || fail "pgbench -i: $(tail -n 3 "$out/init")"
    [ "$(query "SHOW data_checksums")" = on ] || fail "PostgreSQL has no checksums"
    query "CREATE EXTENSION amcheck" >/dev/null
    client ping ping -n -O -i 0.01 $address
    client pgbench "$debian/pgbench" -h $address -U postgres -n -c 2 -T 86400 -P 1 bench
    client redis "$tests/tools/redis-writer.py" $address 6379
    # Twice as slow as it would have to be, that the moves end before it.
    download_rate=$((48 * 1048576 / ($1 * server_pace * 3)))
    download_start
    wait_until 30 "the first transactions" has_transactions 0
}

download_start() {
    rm -f "$out/file"
    client download "$tests/tools/slow-download.py" $address /download "$download_rate" "$out/file"
    wait_until 30 "the download to begin" test -s "$out/file"
}
# It ends well, and brought what the server has.
download_end() {
    wait "${pids[download]}" || fail "the download failed: $(cat "$out/download")"
    [ "$(sha256sum <"$out/file" | cut -d' ' -f1)" = "$(cut -d' ' -f1 "$debian/download.sha256")" ] || fail "the download has another hash"
}

# After each move.
clients_are_well() {
    local seen history size said
    history=$(transactions)
    wait_until 60 "transactions after the move" has_transactions "$history"
    ! grep -E "ERROR|FATAL|aborted|[1-9][0-9]* failed" "$out/pgbench" || fail "pgbench lost something"
    said=$(query "SELECT (SELECT sum(abalance) FROM pgbench_accounts), (SELECT sum(bbalance) FROM pgbench_branches),
        (SELECT sum(tbalance) FROM pgbench_tellers), (SELECT sum(delta) FROM pgbench_history)")
    [ "$(tr '|' '\n' <<<"$said" | sort -u | wc -l)" = 1 ] || fail "the books of pgbench do not balance: $said"
    in_client /usr/lib/postgresql/15/bin/pg_amcheck -h $address -U postgres --heapallindexed bench >"$out/amcheck" 2>&1 || fail "amcheck: $(head -n 5 "$out/amcheck")"
    [ "$(query "SELECT sum(checksum_failures) FROM pg_stat_database")" = 0 ] || fail "PostgreSQL found wrong checksums"
    seen=$(lines redis)
    kill -USR1 "${pids[redis]}"
    wait_until 60 "Redis to be read back" has_lines redis "$seen"
    size=$(stat -c %s "$out/file")
    wait_until 30 "the download to go on" download_grew "$size"
    # On a slow machine the moves may outlast it.
    ! gone "${pids[download]}" || { download_end && download_start; }
}

# ping's own lines: the answers that never came, and the longest row of them.
pings_of() {
    awk -v from="$1" 'NR > from && /icmp_seq=/ { match($0, /icmp_seq=[0-9]+/); at = substr($0, RSTART + 9, RLENGTH - 9) + 0
            if (/bytes from/) came[at] = 1; if (at > last) last = at; if (!first) first = at }
        END { for (at = first; at < last - 20; at++) if (at in came) row = 0; else { lost++; if (++row > longest) longest = row }
            printf "%d pings lost, %d ms at most", lost, longest * 10 }' "$out/ping"
}

# Each client ends as if its time were over, and counts.
clients_end() {
    kill -USR1 "${pids[download]}" 2>/dev/null || true # it may just have ended
    download_end
    kill -ALRM "${pids[pgbench]}"
    wait "${pids[pgbench]}" || fail "pgbench: $(tail -n 5 "$out/pgbench")"
    grep -q "^number of failed transactions: 0 " "$out/pgbench" || fail "pgbench: $(tail -n 12 "$out/pgbench")"
    kill "${pids[redis]}"
    wait "${pids[redis]}" || fail "Redis: $(tail -n 1 "$out/redis")"
    kill "${pids[ping]}"
    transactions_done=$(sed -n 's/^number of transactions actually processed: //p' "$out/pgbench")
}
# server_end [FOLDER]: it is shut down, and its file system is clean; its disk is in that folder
server_end() {
    godwit vm stop db >/dev/null
    [ "$(vm_state db)" = off ] || fail "db is $(vm_state db)"
    "$tests/guests/debian/fsck" "$debian" "${1:-$folder}/db.qcow2" || fail "what db left on its disk is not whole"
}
