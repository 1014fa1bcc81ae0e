#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# On hosts that have IPv6 alone: ports, firewall and the way between two hosts are judged, a router that passes less and says so is found, and an address that two
# machines have, by its own host and by those who look for it (neighbour discovery), although nobody checked it when it was given.
. "$(dirname "$0")/../functions.sh" "$1"
. "$tests/fault/network.sh"
lab_up --hosts 3 --ip 6
status=0
look() { answer=$("$@" --json) && status=0 || status=$?; }
on_h2() { godwit lab exec h2 -- godwit doctor --config "$lab_dir/hosts/h2/agent.conf" "$@"; }
problems() { jq -r '[.checks[] | select(.verdict == "problem") | "\(.id) \(.what)"] | join(" ")' <<<"$answer"; }
is_well() { jq -e --arg id "$1" '[.checks[] | select(.id == $id) | .verdict] | length > 0 and all(.[]; . == "ok")' <<<"$answer" >/dev/null || fail "$1: $answer"; }
look on_h2
[ $status = 0 ] && [ -z "$(problems)" ] || fail "$(problems): $answer"
for id in ports firewall addresses address-duplicate enrolment; do
    is_well $id
done
look godwit doctor --from h1 --to h2
[ $status = 0 ] && [ -z "$(problems)" ] || fail "$(problems): $answer"
for id in migration-port path-mtu round-trip address-duplicate symmetry; do
    is_well $id
done

address=$(sed -n 's/^addresses=//p' "$lab_dir/hosts/h2/agent.conf")
way=(1400 "${address%:*}:fe/64" "$(sed -n 's/^addresses=//p' "$lab_dir/hosts/h1/agent.conf")" "$address")
router_up "${way[@]}"
look godwit doctor --from h1 --to h2
[ "$(problems)" = "path-mtu h1 > h2 path-mtu h2 > h1" ] || fail "$(problems): $answer"
jq -e 'all(.checks[] | select(.id == "path-mtu"); .arguments.path_mtu == "1400" and (.cause | contains("and says so")))' <<<"$answer" >/dev/null || fail "$answer"
router_down "${way[@]}"
look godwit doctor --from h1 --to h2
is_well path-mtu

ip -n "$lab_name-h3" address add "$address/64" dev eth-mig nodad
mac=$(ip -j -n "$lab_name-h3" link show eth-mig | jq -r '.[0].address')
look on_h2
[ $status = 1 ] && [[ $(problems) = "address-duplicate "* ]] || fail "$(problems): $answer"
jq -e --arg mac "$mac" 'any(.checks[]; .id == "address-duplicate" and (.cause | contains($mac)))' <<<"$answer" >/dev/null || fail "$answer"
look godwit doctor --from h1 --to h2
jq -e --arg mac "$mac" 'any(.checks[]; .id == "address-duplicate" and .verdict == "problem" and .what == "h1 > h2" and (.message | contains($mac)))' <<<"$answer" >/dev/null || fail "$answer"
say "$(jq -r '.checks[] | select(.id == "address-duplicate" and .verdict == "problem") | "\(.message); \(.cause); \(.fix)"' <<<"$answer")"
ip -n "$lab_name-h3" address del "$address/64" dev eth-mig

ip netns exec "$lab_name-h2" nft add table ip6 test
ip netns exec "$lab_name-h2" nft 'add chain ip6 test in { type filter hook input priority 0; }'
ip netns exec "$lab_name-h2" nft add rule ip6 test in ip6 daddr "$address" tcp dport 8000 reject
look on_h2
[ "$(problems)" = "firewall firewall" ] || fail "$(problems): $answer"
