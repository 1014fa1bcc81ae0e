#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Management, migration and the guest over IPv6 alone: hosts enrol, a Linux guest is served to a client outside, moves there and back, certificates renew,
# and no node has an IPv4 address.
. "$(dirname "$0")/../functions.sh" "$1"
PATH=$build/stage/usr/local/sbin:$PATH
lab_up --hosts 2 --ip 6
for node in mgr client h1 h2; do
    found=$(ip -n "$lab_name-$node" -4 -o addr show | grep -v ' lo ' || true)
    [ -z "$found" ] || fail "$node has an IPv4 address: $found"
done
godwit vm create web --memory 256 --cpus 1 --host h1 --kernel "$linux/vmlinuz" --initrd "$linux/initrd" \
    --append "console=ttyS0 quiet gw.ip6=fd00:3::10/64 gw.work=16:5" --network vmnet --start
wait_until 60 "the guest to be ready" console_has web "GUEST ready"
guest() { godwit lab exec client -- curl -sgf -m 10 "http://[fd00:3::10]/$1"; }
answers() { guest count >/dev/null; }
wait_until 30 "the guest's first answer" answers
boot=$(guest count | jq -r .boot_id)
received() { ip -n "$lab_name-$1" -s -j link show dev eth-mig | jq '.[0].stats64.rx.bytes'; }
for to in h2 h1; do
    before=$(received $to)
    task=$(migrate web $to --verify) || fail "$(jq -c .error <<<"$task")"
    wire=$(jq .bytes_on_wire <<<"$task")
    say "moved to $to: downtime $(jq .downtime_ms <<<"$task") ms, $wire bytes"
    [ $(($(received $to) - before)) -ge "$wire" ] || fail "the bytes did not come over the migration network of $to"
    wait_until 30 "the guest's answer from $to" answers
    [ "$(guest count | jq -r .boot_id)" = "$boot" ] || fail "it is another guest"
done
has_looked() { guest work >/dev/null; }
wait_until 60 "the guest to have looked at its memory" has_looked
[ "$(guest work | jq .bad)" = 0 ] || fail "the guest found bad memory: $(guest work)"
godwit lab exec h1 -- godwit-agent renew --config "$lab_dir/hosts/h1/agent.conf"
curl_manager() {
    godwit lab exec mgr -- curl -sgf --cacert "$lab_dir/manager/state/ca.crt" -H "Authorization: Bearer $(sed -n 's/^token=//p' "$lab_dir/cli.conf")" \
        "https://[fd00:1::1]:8400/v1/about"
}
curl_manager | jq -e .version >/dev/null || fail "the API does not answer over IPv6"
godwit vm stop web
[ "$(vm_state web)" = off ] || fail "the guest is $(vm_state web)"
