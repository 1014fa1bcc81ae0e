#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What pools have given out is right to the MiB before, during and after moves that succeed, fail, are cancelled, or lose their manager; no pool and no host
# gives its last room to two.
. "$(dirname "$0")/../functions.sh" "$1"
lab_up --hosts 2

godwit pool create prod --memory-limit 2048 >/dev/null
godwit pool create prod/db --cpu-reservation 50 --cpu-shares high >/dev/null
godwit pool create test >/dev/null
godwit vm create vm --host h1 --memory 512 --cpus 2 --accel tcg --kernel "$checker" --append "vcpus=2 sweep_ms=1500 mb=64 rate=4 mode=page" \
    --pool prod/db --cpu-reservation 30 >/dev/null
checker_vm other h1 256 1 tcg "mb=32 rate=1"
# needs VM: its memory and what its QEMU needs besides
needs() { godwit vm show "$1" --json | jq '.spec.memory_mib + .overhead_mib'; }
vm=$(needs vm) other=$(needs other)
[ "$vm" -gt 512 ] && [ "$other" -gt 256 ] || fail "no overhead: $vm $other"

# used POOL MIB PERCENT …: exactly this is in use
used() {
    local pool found
    while [ $# -gt 0 ]; do
        pool=$(godwit pool show "$1" --json)
        found=$(jq -c '[.memory_used_mib, .cpu_used_percent]' <<<"$pool")
        [ "$found" = "[$2,$3]" ] || fail "pool $1 uses $found, not [$2,$3]: $pool"
        shift 3
    done
}
host_uses() { godwit host show "$1" --json | jq -e --argjson mib "$2" '.facts.memory_used_mib == $mib' >/dev/null; }
# The facts are at most one question old.
hosts_use() {
    wait_until 20 "h1 to have $1 MiB promised" host_uses h1 "$1"
    wait_until 20 "h2 to have $2 MiB promised" host_uses h2 "$2"
}
copying() { godwit task show "$1" --json | jq -e '.phase == "copy" and (.bytes_on_wire // 0) > 0' >/dev/null; }
# move TO OPTION…: begins one that takes a while, and waits until it copies; its id in $task
move() {
    local to=$1
    shift
    task=$(godwit vm migrate vm --to "$to" --bandwidth 10 "$@" --detach)
    wait_until 60 "the copy to run" copying "$task"
}
ends_as() {
    wait_until 120 "the task to end" task_is_over "$task"
    [ "$(godwit task show "$task" --json | jq -r .state)" = "$1" ] || fail "$(godwit task show "$task" --json)"
}
pool_of() { godwit vm show vm --json | jq -r .spec.pool; }
file_pool() { jq -r .pool "$lab_dir/hosts/$1/state/vms/$(godwit vm show vm --json | jq -r .spec.uuid).json"; }

say "a VM that is off takes nothing, one that is on its whole memory and its CPU reservation"
used prod 0 0 prod/db 0 0 test 0 0
godwit vm start vm >/dev/null
used prod "$vm" 30 prod/db "$vm" 30 test 0 0
hosts_use $((vm + other)) 0

say "a move inside its pool: once, though both hosts have promised the memory"
move h2
used prod "$vm" 30 prod/db "$vm" 30 test 0 0
hosts_use $((vm + other)) "$vm"
ends_as success
used prod "$vm" 30 prod/db "$vm" 30 test 0 0
hosts_use "$other" "$vm"

say "a move to another pool: both while it lasts"
move h1 --pool test
used prod "$vm" 30 prod/db "$vm" 30 test "$vm" 30
hosts_use $((vm + other)) "$vm"
[ "$(pool_of)" = prod/db ] || fail "the VM is in pool $(pool_of) before it has moved"
ends_as success
used prod 0 0 prod/db 0 0 test "$vm" 30
hosts_use $((vm + other)) 0
[ "$(pool_of)" = test ] || fail "the VM is in pool '$(pool_of)'"
[ "$(file_pool h1)" = test ] || fail "the VM's file says '$(file_pool h1)'"

say "cancelled"
move h2 --pool prod/db
used prod "$vm" 30 prod/db "$vm" 30 test "$vm" 30
godwit task cancel "$task" >/dev/null
ends_as cancelled
used prod 0 0 prod/db 0 0 test "$vm" 30
hosts_use $((vm + other)) 0
[ "$(file_pool h1)" = test ] || fail "the VM's file says '$(file_pool h1)'"

say "failed: the destination's job dies"
move h2 --pool prod/db
kill -KILL "$(pids_in h2 godwit-job)"
ends_as error
used prod 0 0 prod/db 0 0 test "$vm" 30
hosts_use $((vm + other)) 0

say "the manager dies in the copy"
move h2 --pool prod
kill -KILL "$(pids_in mgr godwitd)"
answers() { godwit vm ls --json >/dev/null 2>&1; }
wait_until 30 "a new manager" answers
used prod "$vm" 30 prod/db 0 0 test "$vm" 30
ends_as success
used prod "$vm" 30 prod/db 0 0 test 0 0
hosts_use "$other" "$vm"
checker_is_whole vm

say "no room: neither for a start, nor for a move, nor for two at once"
godwit pool set prod --memory-limit $((vm + other)) >/dev/null
godwit vm create third --host h1 --memory 300 --kernel "$checker" --append "mb=32 rate=1" --accel tcg --pool prod >/dev/null
expect_error pool-memory-short godwit vm start third
[ "$(vm_state third)" = off ] || fail "the VM is $(vm_state third)"
godwit pool assign / third >/dev/null
godwit vm start third >/dev/null
expect_error pool-memory-short godwit pool assign prod third
expect_error pool-memory-short godwit vm migrate third --to h2 --pool prod
used prod "$vm" 30
first=$(godwit vm migrate other --to h2 --pool prod --bandwidth 20 --detach)
expect_error pool-memory-short godwit vm migrate third --to h2 --pool prod
task=$first
ends_as success
used prod $((vm + other)) 30
godwit vm stop other --force >/dev/null
used prod "$vm" 30
expect_error pool-in-use godwit pool rm prod
expect_error pool-not-found godwit pool rm nowhere
expect_error pool-reservations-exceed godwit pool create all --memory-reservation 99999999
godwit pool rm test >/dev/null

say "a host's memory is promised once: two VMs come to a host that has room for one and a third"
godwit vm create fourth --host h1 --memory 300 --kernel "$checker" --append "mb=32 rate=1" --accel tcg --start >/dev/null
third=$(needs third)
room=$((third + 100))
hosts_use $((2 * third)) "$vm"
free=$(godwit host show h2 --json | jq .facts.memory_free_mib)
sed -i "s/^memory_reserve_mib=.*/memory_reserve_mib=$((256 + free - room))/" "$lab_dir/hosts/h2/agent.conf"
kill -KILL "$(pids_in h2 godwit-agent)"
# QEMUs of others on this machine come and go.
has_room() { godwit host show h2 --json | jq -e --argjson one "$third" '.state == "connected" and .facts.memory_free_mib >= $one and .facts.memory_free_mib < 2 * $one' >/dev/null; }
wait_until 30 "the agent with its new configuration" has_room
one=$(godwit vm migrate third --to h2 --bandwidth 20 --detach)
two=$(godwit vm migrate fourth --to h2 --bandwidth 20 --detach)
for task in "$one" "$two"; do wait_until 120 "the task to end" task_is_over "$task"; done
results=$(for task in "$one" "$two"; do godwit task show "$task" --json | jq -r '.state + " " + (.error.id // "")'; done | sort)
[ "$results" = "error memory-short
success " ] || fail "the two moves ended so: $results"
hosts_use "$third" $((vm + third))
