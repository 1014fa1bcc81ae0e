#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A host with ten things wrong is told with all of them by one check and by one dry run, each with side and cure; a host beside it is said to be good. Nothing
# is changed by it, and the VM moves to the good one.
. "$(dirname "$0")/../functions.sh" "$1"
lab_up --hosts 3

# Files that are there when the guest starts, and later are not.
cp "$checker" "$lab_dir/datastore/kernel"
head -c 4096 /dev/zero >"$lab_dir/datastore/initrd"
chmod 644 "$lab_dir/datastore/kernel" "$lab_dir/datastore/initrd"

settings() { echo "$lab_dir/hosts/$1/agent.conf"; }
for host in h1 h3; do
    printf '\n[network second]\nbridge=br0\n' >>"$(settings $host)"
    agent_restart $host
done

disk=$(disk_image vm 8M)
godwit vm create web --host h1 --memory 256 --cpus 1 --cpu-reservation 100 --accel tcg --network vmnet --network second --disk "$disk" \
    --kernel "$lab_dir/datastore/kernel" --initrd "$lab_dir/datastore/initrd" --append "vcpus=1 mb=32 sweep_ms=500 rate=2 mode=page" --start >/dev/null
godwit vm create other --host h2 --memory 64 --cpus 2 --cpu-reservation 150 --accel tcg --kernel "$checker" --append "vcpus=2 mb=8 rate=1 mode=page" --start >/dev/null
godwit pool create small --memory-limit 100 >/dev/null
wait_until 60 "the guest to be filled and to report" checker_reports web
[ "$(godwit vm check web --json | jq -c '[.hosts[] | [.host, .result]]')" = '[["h2","refused"],["h3","passed"]]' ] || fail "$(godwit vm check web --json)"

sed -i 's/^bridge=br0/bridge=br9/; s/^enabled=true/enabled=false/; s/^addresses=.*/addresses=fd00::12/; s/^memory_reserve_mib=.*/memory_reserve_mib=1000000/; s/^\[agent\]/&\nqemu=\/nowhere\/qemu/' \
    "$(settings h2)"
agent_restart h2
rm "$disk" "$lab_dir/datastore/kernel" "$lab_dir/datastore/initrd"

wrong='["boot-file-missing","boot-file-missing","bridge-missing","cpu-short","disk-missing","memory-short","migration-addresses","migration-disabled","network-missing","pool-memory-short","qemu-missing"]'
ids='[.findings[].id] | sort | tojson'
before=$(godwit vm show web --json | jq -c '[.state, .host, .pid, .epoch, .spec]')

godwit vm check web --to h2 --pool small || true
answer=$(godwit vm check web --to h2 --pool small --json) && fail "a check that found errors succeeded"
[ "$(jq -r ".hosts[0] | $ids" <<<"$answer")" = "$wrong" ] || fail "found $(jq -r ".hosts[0] | $ids" <<<"$answer")"
jq -e 'all(.hosts[0].findings[]; .severity == "error" and .phase != "" and (.side | IN("source", "destination", "manager")) and .message != "" and .fix != "" and .arguments != {})' \
    <<<"$answer" >/dev/null || fail "a finding is not complete: $(jq -c '.hosts[0].findings' <<<"$answer")"

answer=$(godwit vm migrate web --to h2 --pool small --dry-run --json) && fail "a dry run that found errors succeeded"
[ "$(jq -r "$ids" <<<"$answer")" = "$wrong" ] || fail "the dry run found $(jq -r "$ids" <<<"$answer")"
[ "$(jq -r .error.id <<<"$answer")" = "$(jq -r '.findings[0].id' <<<"$answer")" ] || fail "the first error is $(jq -c .error <<<"$answer")"

# The migration itself is refused by the first of them.
task=$(migrate web h2 --pool small) && fail "it moved"
[ "$(jq -r .error.id <<<"$task")" = "$(jq -r .error.id <<<"$answer")" ] || fail "the task says $(jq -c .error <<<"$task")"
[ "$(godwit vm show web --json | jq -c '[.state, .host, .pid, .epoch, .spec]')" = "$before" ] || fail "the VM was changed: $(godwit vm show web --json)"

# Of a host that is away that is all that can be said; the other side is asked nevertheless.
godwit lab service stop h3
is_away() { ! host_is_connected h3; }
wait_until 60 "host h3 to be away" is_away
[ "$(godwit vm check web --to h3 --json | jq -r ".hosts[0] | $ids")" = '["host-disconnected"]' ] || fail "$(godwit vm check web --to h3 --json)"
godwit lab service start h3
wait_until 30 "host h3" host_is_connected h3

expect_error host-not-found godwit vm check web --to nowhere
expect_error same-host godwit vm check web --to h1
expect_error vm-not-found godwit vm check nobody

# What is gone is gone for all hosts of this lab; then the other one is good.
[ "$(godwit vm check web --to h3 --json | jq -r ".hosts[0] | $ids")" = '["boot-file-missing","boot-file-missing","disk-missing"]' ] || fail "$(godwit vm check web --to h3 --json)"
disk_image vm 8M >/dev/null
cp "$checker" "$lab_dir/datastore/kernel"
cp "$checker" "$lab_dir/datastore/initrd"
chmod 644 "$lab_dir/datastore/kernel" "$lab_dir/datastore/initrd"
godwit vm check web --to h2 --to h3 --pool / || fail "h3 is no candidate: $(godwit vm check web --to h3 --json)"
checker_is_whole web
