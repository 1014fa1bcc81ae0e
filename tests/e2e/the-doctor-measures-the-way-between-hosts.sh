#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# godwit doctor --from --to: both hosts ping each other from the real addresses, and say what is lost, too large, refused, answered by two machines, or different by
# direction, with cause and cure. It moves nothing and needs no VM.
. "$(dirname "$0")/../functions.sh" "$1"
lab_up --hosts 3
look() {
    status=0
    answer=$(godwit doctor --from h1 --to h2 --json) || status=$?
    jq -se 'length == 1 and all(.[0].checks[]; .id != "" and .what != "" and .message != "" and (.verdict == "ok" or .cause != "") and
        (.verdict | IN("ok", "not-here") or true))' <<<"$answer" >/dev/null || fail "not as promised: $answer"
}
# must_find LINES: "id verdict what" of all that is neither well nor absent
must_find() {
    local found
    look
    found=$(jq -r '.checks[] | select(.verdict | IN("problem", "warning")) | "\(.id) \(.verdict) \(.what)"' <<<"$answer" | sort)
    [ "$found" = "$1" ] || fail "found: $found; in: $answer"
    say "$(jq -r '.checks[] | select(.verdict | IN("problem", "warning")) | "\(.message); \(.cause); \(.fix)"' <<<"$answer")"
    jq -e 'all(.checks[] | select(.verdict | IN("problem", "warning")); .cause != "" and .fix != "")' <<<"$answer" >/dev/null || fail "$answer"
    case $1 in *problem*) [ $status = 1 ] ;; *) [ $status = 0 ] ;; esac || fail "status $status: $answer"
}
must_find ""
jq -e '.from == "h1" and .to == "h2" and (.there.pairs + .back.pairs | length == 2 and all(.[]; .connects and .path_mtu == 1500 and .n_sent == 40 and .n_received == 40 and
    .min_us > 0 and .min_us <= .average_us and .average_us <= .max_us and (.macs | length == 1)))' <<<"$answer" >/dev/null || fail "$answer"
say "$(godwit doctor --from h1 --to h2)"

on_h2() { ip netns exec "$lab_name-h2" "$@"; }
on_h2 nft add table inet test
on_h2 nft 'add chain inet test in { type filter hook input priority 0; }'
rule() { on_h2 nft add rule inet test in "$@"; }
rule iifname eth-mig meta length '>' 1300 drop
must_find $'path-mtu problem h1 > h2\npath-mtu problem h2 > h1'
jq -e 'any(.checks[]; .id == "path-mtu" and .arguments.mtu == "1500" and .arguments.path_mtu == "1300")' <<<"$answer" >/dev/null || fail "$answer"
on_h2 nft flush chain inet test in
rule tcp dport 8000 drop
must_find $'migration-port problem h1 > h2\nsymmetry warning h1 <> h2'
on_h2 nft flush chain inet test in
# Each fourth of its pings; those that find the path MTU are as many as it takes.
rule iifname eth-mig icmp type echo-request meta length 84 numgen inc mod 4 0 drop
must_find "round-trip problem h1 > h2"
jq -e 'any(.checks[]; .id == "round-trip" and .verdict == "problem" and .arguments.lost == "10")' <<<"$answer" >/dev/null || fail "$answer"
on_h2 nft flush chain inet test in
rule icmp type echo-request drop
look
# Nobody is blamed for a host that answers no pings; that the other does is said.
jq -e '[.checks[] | select(.what == "h1 > h2" and .id == "round-trip") | .verdict] == ["not-here"]' <<<"$answer" >/dev/null || fail "$answer"
[ $status = 0 ] || fail "$answer"
on_h2 nft delete table inet test

ip -n "$lab_name-h3" address add 198.18.2.12/24 dev eth-mig
look
mac=$(ip -j -n "$lab_name-h3" link show eth-mig | jq -r '.[0].address')
jq -e --arg mac "$mac" 'any(.checks[]; .id == "address-duplicate" and .verdict == "problem" and .what == "h1 > h2" and (.message | contains($mac)))' <<<"$answer" >/dev/null || fail "$answer"
[ $status = 1 ] || fail "$answer"
ip -n "$lab_name-h3" address del 198.18.2.12/24 dev eth-mig
ip -n "$lab_name-h1" neigh flush dev eth-mig
must_find ""

# A host that cannot be asked is said, and the rest is.
godwit lab service stop h2
is_away() { ! host_is_connected h2; }
wait_until 60 "host h2 to be away" is_away
must_find "host problem h2"
godwit lab service start h2
wait_until 30 "host h2" host_is_connected h2
agent_restart h2 sed -i 's/^enabled=true/enabled=false/' "$lab_dir/hosts/h2/agent.conf"
must_find "migration-enabled problem h2"
expect_error host-not-found godwit doctor --from h1 --to nowhere
expect_error same-host godwit doctor --from h1 --to h1
