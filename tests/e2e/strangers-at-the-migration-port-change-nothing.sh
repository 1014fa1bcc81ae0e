#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# strangers-at-the-migration-port-change-nothing.sh BUILD [ROUNDS]
# While VMs move, a third machine of the migration network scans the destination's port, sends garbage, byte after byte, or nothing, over thousands of
# connections, and repeats what was recorded on the way: tickets of the move before and of the one that runs, with a key that is not theirs. The moves
# end well and the memory is whole; strangers are told nothing, closed, counted and logged once, and the door is as it was. Each round has two moves that
# are attacked and two that are not, in both directions; what they took is printed.
. "$(dirname "$0")/../functions.sh" "$1"
rounds=${2:-1}
for program in nmap tcpdump nft openssl; do
    command -v $program >/dev/null || skip "no $program"
done
lab_up --hosts 3
# The strangers' machine: several addresses, and one from which no connection is ever completed.
network=198.18.2
port=8000
addresses=$network.101,$network.102,$network.103,$network.104
in_switch=$lab_name-sw in_stranger=$lab_name-h3
for last in 101 102 103 104 105; do
    ip -n "$in_stranger" addr add $network.$last/24 dev eth-mig
done
ip netns exec "$in_stranger" nft -f - <<NFT
table inet half_open {
    chain input {
        type filter hook input priority 0
        ip daddr $network.105 drop
    }
}
NFT
# On the way sits somebody who hears how the hosts begin their connections.
seen=$lab_dir/seen.pcap
ip netns exec "$in_switch" tcpdump -q -n -U -Z root -i h1-mig -w "$seen" \
    "tcp dst port $port and (src host $network.11 or src host $network.12) and tcp[((tcp[12] & 0xf0) >> 2):4] = 0x52414d4d" 2>"$lab_dir/tcpdump.log" &
listener=$!
on_exit "kill $listener 2>/dev/null; wait $listener || true"
wait_until 20 "tcpdump" grep -q "listening on" "$lab_dir/tcpdump.log"

address_of() { echo "$network.1${1#h}"; }
strangers_of() { godwit host show "$1" --json | jq .facts.strangers; }
door_of() { pids_in "$1" godwit-door; }
n_fds() { find "/proc/$1/fd" -mindepth 1 -maxdepth 1 | wc -l; }
has_n_fds() { [ "$(n_fds "$1")" = "$2" ]; }
has_counted() { [ "$(strangers_of "$1")" -ge "$2" ]; }
attack_begin() { # HOST
    ip netns exec "$in_stranger" python3 "$tests/tools/strangers.py" "$(address_of "$1")" $port --from $addresses --seen "$seen" \
        --half-open-from $network.105 >"$lab_dir/strangers.json" &
    attack=$!
    ip netns exec "$in_stranger" nmap -n -Pn -sT -sV --version-light -p 1-9000 -oG "$lab_dir/scan" "$(address_of "$1")" >/dev/null &
    scan=$!
}
attack_end() {
    kill -TERM $attack
    wait $attack || fail "the strangers' program failed"
    wait $scan || fail "nmap failed"
}
on_exit 'kill ${attack:-} ${scan:-} 2>/dev/null || true'

other() { [ "$1" = h1 ] && echo h2 || echo h1; }
durations_calm=() durations_attacked=()
move_to() { # HOST calm|attacked
    local task
    task=$(migrate vm "$1" --bandwidth 24) || fail "$2 to $1: $(jq -c .error <<<"$task")"
    jq -e '(.resumes // 0) == 0 and .encryption == "tls13-psk"' <<<"$task" >/dev/null || fail "$2 to $1: $(jq -c '[.resumes, .encryption]' <<<"$task")"
    say "$2 to $1: $(jq -r '"\(.duration_ms) ms, downtime \(.downtime_ms) ms, \(.rounds | length) rounds"' <<<"$task")"
    local -n into=durations_$2
    into+=("$(jq .duration_ms <<<"$task")")
}
# attacked_move_to HOST: with all that may be known of it afterwards
attacked_move_to() {
    local to=$1 door counted fds lines began=$SECONDS logged minutes from
    door=$(door_of "$to") counted=$(strangers_of "$to") fds=$(n_fds "$(door_of "$to")") lines=$(wc -l <"$lab_dir/log/$to.log")
    attack_begin "$to"
    wait_until 120 "the strangers to be noticed" has_counted "$to" $((counted + 100))
    move_to "$to" attacked
    attack_end
    say "strangers: $(cat "$lab_dir/strangers.json")"
    jq -e 'to_entries | all(.value.heard == null or (.key | startswith("stolen ticket")))' "$lab_dir/strangers.json" >/dev/null ||
        fail "the door has said something to strangers"
    jq -e '[to_entries[] | select(.key != "half-open" and (.value.opened > 20)) | .value.closed / .value.opened] | all(. > 0.2)' \
        "$lab_dir/strangers.json" >/dev/null || fail "strangers are not closed"
    jq -e '(["silent", "slow", "garbage", "http", "ticket of a move that is over", "stolen ticket, wrong key", "half-open"] - keys) == []' \
        "$lab_dir/strangers.json" >/dev/null || fail "not all kinds of strangers were there"
    [ "$(grep -o '[0-9]*/open/' "$lab_dir/scan")" = "$port/open/" ] || fail "the scan has found other ports: $(cat "$lab_dir/scan")"
    wait_until 60 "all that were closed to be counted" has_counted "$to" \
        $((counted + $(jq '[to_entries[] | select(.key | startswith("stolen") | not) | .value.closed // 0] | add' "$lab_dir/strangers.json")))
    [ "$(door_of "$to")" = "$door" ] || fail "the door of $to was started again"
    wait_until 60 "the door to have let go of all" has_n_fds "$door" "$fds"
    minutes=$(((SECONDS - began) / 60 + 1))
    tail -n +$((lines + 1)) "$lab_dir/log/$to.log" >"$lab_dir/new-lines"
    for from in ${addresses//,/ }; do
        logged=$(grep -c "closed a connection from $from:" "$lab_dir/new-lines" || true)
        [ "$logged" -le $((minutes + 1)) ] || fail "$logged lines about $from in $minutes minutes"
    done
    logged=$(grep -c "with this move's ticket" "$lab_dir/new-lines" || true)
    [ "$logged" -ge 1 ] && [ "$logged" -le 2 ] || fail "$logged lines about connections with a stolen ticket"
    logged=$(wc -l <"$lab_dir/new-lines")
    [ "$logged" -lt 200 ] || fail "the agent's log has $logged lines more"
    say "$to has counted $(($(strangers_of "$to") - counted)) strangers, and logged $logged lines"
}

checker_vm vm h1 256 1 tcg "mb=96 rate=4 mode=page"
move_to h2 calm # what is recorded of it is used later, and it counts for nothing
durations_calm=()
for ((round = 0; round < rounds; round++)); do
    attacked_move_to h1
    move_to h2 calm
    move_to h1 calm
    attacked_move_to h2
    checker_is_whole vm
done
grep -q "closed a connection from $network.10" "$lab_dir/log/h1.log" || fail "no stranger was logged"
median() { printf '%s\n' "$@" | sort -n | sed -n "$((($# + 1) / 2))p"; }
calm=$(median "${durations_calm[@]}") attacked=$(median "${durations_attacked[@]}")
say "median of ${#durations_calm[@]} moves each: calm $calm ms, attacked $attacked ms: $((attacked * 1000 / calm)) per mille"
