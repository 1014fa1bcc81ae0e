#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Two hosts without shared storage: a Linux guest that writes to its disk moves there and back with it. No acknowledged write is lost, what is empty stays
# empty, the old image goes, all of it crosses the migration network and under TLS.
. "$(dirname "$0")/../functions.sh" "$1"
. "$tests/local-datastores.sh"
lab_up --hosts 2
local_datastores h1 h2
# Thin, with a few MiB that only show on the wire if nobody encrypts them, and built on another image: it becomes one.
pattern=GODWIT-DISK-PATTERN-IN-THE-CLEAR
base=$(local_image h1 base qcow2 1G)
printf "$pattern%.0s" {1..120000} >"$lab_dir/pattern"
qemu-io -f qcow2 -c "write -q -s $lab_dir/pattern 512M 4M" "$base"
data=$(datastore_of h1)/data.qcow2
qemu-img create -q -f qcow2 -b base.qcow2 -F qcow2 "$data" && chown 64101:64101 "$data"
local_image h1 raw raw 64M >/dev/null
godwit vm create web --memory 256 --host h1 --kernel "$linux/vmlinuz" --initrd "$linux/initrd" --append "console=ttyS0 quiet gw.ip=198.18.3.10/24 gw.disk=16" \
    --network vmnet --disk local:data.qcow2 --disk local:raw.raw --start
wait_until 60 "the guest to be ready" console_has web "GUEST ready"
observer_start
wait_until 30 "the client's first answers" observer_answered 3
goes_on() { [ "$(guest_says disk | jq .seq)" -gt "$1" ]; }

sent() { godwit lab exec h1 -- ip -s -j link show dev "$1" | jq '.[0].stats64.tx.bytes'; }
migration=$(sent eth-mig) management=$(sent eth-mgmt)
# seen_on_the_wire TO [OPTION…]: moves it there, and whether what is on its disk could be read on the way. Sets task.
seen_on_the_wire() {
    local capture
    godwit lab exec h1 -- timeout 120 tcpdump -q -U -Z root -i eth-mig -w "$lab_dir/wire" -s 0 2>"$lab_dir/tcpdump" &
    capture=$!
    wait_until 10 "tcpdump" grep -q listening "$lab_dir/tcpdump"
    task=$(migrate web "$@" --datastore local) || fail "it did not move: $(jq -c .error,.timeline <<<"$task")"
    kill "$capture"
    wait "$capture" || true
    grep -aq "$pattern" "$lab_dir/wire"
}
if seen_on_the_wire h2; then
    fail "the disk was seen on the wire"
fi
wait_until 30 "the guest's disk to go on" goes_on "$(guest_says disk | jq .seq)"
[ "$(guest_says disk | jq '.bad + .errors')" = 0 ] || fail "the guest found bad blocks: $(guest_says disk)"
migration=$(($(sent eth-mig) - migration)) management=$(($(sent eth-mgmt) - management))
say "the switch-over: $(jq -c '[.switch_over[] | [.side, .step, .us]]' <<<"$task")"
say "downtime $(jq .downtime_ms <<<"$task") ms; $migration bytes crossed the migration network, $management the other; disks: $(jq -c .disks <<<"$task")"
[ $((management * 50)) -le $((migration + management)) ] || fail "more than 2 % went over the management network"
[ "$(jq .bytes_on_wire <<<"$task")" -ge $((4 << 20)) ] || fail "the disk's bytes are not counted"
jq -e '.disks | length == 2 and all(.ready and .bytes_total > 0) and .[0].name == "local:data.qcow2"' <<<"$task" >/dev/null || fail "$(jq -c .disks <<<"$task")"

there=$(datastore_of h2)
[ "$(godwit vm show web --json | jq -c '[.host, .spec.disks[0].datastore, .spec.disks[0].file]')" = '["h2","local","data.qcow2"]' ] || fail "$(godwit vm show web --json)"
[ ! -e "$data" ] || fail "the old image is still there"
[ -e "$base" ] || fail "the image on which it was built is gone"
qemu-img info -U --output json "$there/data.qcow2" | jq -e '(has("backing-filename") | not) and ."virtual-size" == 1073741824 and ."actual-size" < 33554432' >/dev/null ||
    fail "not thin: $(qemu-img info -U "$there/data.qcow2")"
[ "$(stat -c %b "$there/raw.raw")" -lt 2048 ] || fail "the raw disk is not thin any more: $(stat -c %b "$there/raw.raw") blocks"

# Back again, in the clear, which shows that the capture would have shown it; and then both are what they should be.
seen_on_the_wire h1 --encryption disabled || fail "the disk was not seen on the wire"
wait_until 30 "the guest's disk to go on" goes_on "$(guest_says disk | jq .seq)"
[ "$(guest_says disk | jq '.bad + .errors')" = 0 ] || fail "the guest found bad blocks: $(guest_says disk)"
godwit vm stop web --force
qemu-img check -q "$data" || fail "the image is damaged"
qemu-io -f qcow2 -r -c "read -v 512M 512" "$data" | grep -q GODWIT.DISK || fail "the pattern was lost"
nothing_is_left
