#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A QEMU that somebody else started on a host: it is counted, the memory that it holds is not promised to our VMs, and neither a restart of the agent nor the
# host's shutdown touches it. Our own are not among them.
. "$(dirname "$0")/../functions.sh" "$1"
PATH=$build/stage/usr/local/sbin:$PATH
lab_up --hosts 2
fact() { godwit host show "$1" --json | jq ".facts.$2"; }
checker_vm vm h1 128 1 tcg "mb=32 rate=5"
# Both hosts of the lab look at the same machine, and one of them runs ours.
same_count() { [ "$(fact h1 n_foreign_vms)" = "$(fact h2 n_foreign_vms)" ]; }
wait_until 30 "ours not to be counted" same_count

ip netns exec "$lab_name-h1" qemu-system-x86_64 -machine q35 -accel tcg -m 300 -mem-prealloc -display none -nodefaults -S &
foreign=$!
on_exit "kill $foreign 2>/dev/null || true"
# As libvirt's: another process group, no relation to the agent.
holds() { [ "$(awk '/^VmRSS/ {print $2}' "/proc/$foreign/status")" -ge $((300 * 1024)) ]; }
wait_until 30 "the other's VM to hold its memory" holds
counted() { [ "$(fact h1 n_foreign_vms)" -ge 1 ] && [ "$(fact h1 memory_foreign_mib)" -ge 300 ]; }
wait_until 30 "the other's VM to be counted" counted
facts=$(godwit host show h1 --json | jq .facts)
# 256 is the reserve of the lab's hosts.
jq -e '.memory_free_mib + .memory_used_mib + .memory_foreign_mib + 256 == .memory_mib' <<<"$facts" >/dev/null || fail "its memory is promised: $facts"
expect_error memory-short godwit vm create big --host h1 --memory $(($(jq .memory_free_mib <<<"$facts") / 2 * 2 + 64)) --cpus 1 --kernel "$checker" --start

say "it outlives the agent's restart and the host's VMs' shutdown"
agent=$(pids_in h1 godwit-agent)
kill -KILL "$agent"
new_agent() { [ -n "$(pids_in h1 godwit-agent)" ] && [ "$(pids_in h1 godwit-agent)" != "$agent" ]; }
wait_until 20 "a new agent" new_agent
down() { godwit lab exec h1 -- godwit-agent shutdown --timeout 5 --config "$lab_dir/hosts/h1/agent.conf"; }
wait_until 60 "the VMs to be off" down
[ "$(pids_in h1 qemu-system-x86)" = "$foreign" ] || fail "on h1 there is: $(pids_in h1 qemu-system-x86), not just $foreign"
kill -0 "$foreign" || fail "the other's VM was ended"
