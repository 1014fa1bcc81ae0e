#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# `lab up` may be repeated, `lab down` leaves no process, namespace, mount or file; also after an interrupted `up`.
# alone: it looks for processes that nobody has taken note of, on the whole machine
. "$(dirname "$0")/../functions.sh" "$1"


zombies() { ps -e -o stat=,uid=,pid=,comm= | grep -E '^Z.* (64101|64102|64103) '; }
zombies_before=$(zombies || true)

leftovers() {
    ip netns list | grep "^$lab_name-" || true
    grep -F "$lab_dir" /proc/mounts || true
    grep -F "$lab_name-" /proc/mounts || true
    # The folder itself goes with the last namespace on the machine.
    [ ! -e /run/netns ] || [ -n "$(ls /run/netns)" ] || echo "/run/netns is empty and still there"
    [ ! -e "$lab_dir" ] || echo "$lab_dir is still there"
    pgrep -af -- "$lab_dir" || true
    # Processes that ended but that nobody has taken note of.
    zombies | grep -vxF "$zombies_before" || true
}
nothing_left() {
    local found
    found=$(leftovers)
    [ -z "$found" ] || fail "left over: $found"
}

lab_up --hosts 2
[ "$(godwit host ls --json | jq '[.hosts[] | select(.state == "connected")] | length')" = 2 ] || fail "not two hosts"
grep -q "is up already" <<<"$(godwit lab up --name "$lab_name" --hosts 2)" || fail "a second up did not say that the lab is up"
expect_error lab-is-up godwit lab up --name "$lab_name" --hosts 3
checker_vm left h1 256 1 tcg "mb=16 rate=1"
godwit lab down --name "$lab_name"
nothing_left
say "down with a running VM leaves nothing"

godwit lab up --name "$lab_name" >/dev/null 2>&1 &
interrupted=$!
wait_until 10 "the first namespace" test -e "/run/netns/$lab_name-h1"
kill -KILL "$interrupted"
wait "$interrupted" 2>/dev/null || true
godwit lab down --name "$lab_name"
nothing_left
say "down after a killed up leaves nothing"
godwit lab up --name "$lab_name" --links 2 --link-rate 500mbit >/dev/null
expect_error lab-is-up godwit lab up --name "$lab_name" --link-rate 500mbit
[ "$(godwit host show h2 --json | jq -c .facts.migration_addresses)" = '["198.18.2.12","198.18.4.12"]' ] || fail "h2 has not two migration addresses"
for device in eth-mig eth-mig2; do
    godwit lab exec h1 -- tc qdisc show dev $device | grep -q 'tbf .*rate 500Mbit' || fail "$device is not shaped"
done
godwit lab exec h1 -- curl -s -m 5 --interface 198.18.4.11 http://198.18.4.12:8000 >/dev/null && fail "the door speaks HTTP"
[ "$(godwit lab exec h1 -- ip -s -j link show dev eth-mig2 | jq '.[0].stats64.tx.packets > 2')" = true ] || fail "nothing went over the second network"
godwit lab down --name "$lab_name"
nothing_left
say "two migration networks come and go"
