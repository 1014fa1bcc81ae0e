#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The host of a VM dies. The operator says who owns the VM: a wrong name changes nothing, the dead host must be named, the VM starts on its new
# host. The dead host is booted with the VM in its journal: it starts nothing by itself before the manager has spoken, gives that VM up, and starts what
# is still its own. A damaged journal is repaired the same way.
. "$(dirname "$0")/../functions.sh" "$1"
PATH=$build/stage/usr/local/sbin:$PATH
lab_up --hosts 3
on_h1() { godwit lab exec h1 -- godwit-agent "$@" --config "$lab_dir/hosts/h1/agent.conf"; }
checker_vm vm h1 128 1 tcg "mb=16 rate=10"
checker_vm own h1 128 1 tcg "mb=16 rate=10"
godwit vm set vm --autostart yes >/dev/null
godwit vm set own --autostart yes >/dev/null
uuid=$(godwit vm show vm --json | jq -r .spec.uuid)
journal() { godwit vm settle vm --json | jq -r --arg h "$1" '.hosts[] | select(.host == $h) | .journal // "none"'; }
[ "$(journal h1)" = OWNED ] || fail "h1 says $(journal h1)"
expect_error vm-runs-elsewhere godwit vm settle vm --owner h2 --confirm h2

# Power off: no agent, no QEMU.
godwit lab service stop h1 >/dev/null
for pid in $(pids_in h1 qemu-system-x86); do kill -KILL "$pid"; done
state_is() { [ "$(vm_state vm)" = "$1" ]; }
wait_until 30 "the host to be missed" state_is unknown
godwit vm settle vm
expect_error confirm-differs godwit vm settle vm --owner h2 --confirm h1 --host-is-down h1
expect_error host-not-answering godwit vm settle vm --owner h2 --confirm h2
expect_error host-is-up godwit vm settle vm --owner h2 --confirm h2 --host-is-down h1 --host-is-down h3
expect_error host-disconnected godwit vm settle vm --owner h1 --confirm h1 --host-is-down h1
[ "$(journal h2)" = absent ] || fail "a refused command wrote a journal"

godwit vm settle vm --owner h2 --confirm h2 --host-is-down h1
[ "$(vm_host vm) $(vm_state vm)" = "h2 off" ] || fail "the VM is $(vm_state vm) on $(vm_host vm)"
godwit vm start vm >/dev/null
checker_is_whole vm
grep -q "VmOwnershipSettledEvent .*host h2 owns VM vm" <<<"$(godwit event ls)" || fail "no audit event"

say "h1 is booted while the manager is away"
cat /proc/sys/kernel/random/uuid >"$lab_dir/hosts/h1/state/boot_id"
godwit lab service stop manager >/dev/null
godwit lab service start h1 >/dev/null
waits() { prints "^autostart .*waits for the manager's word" on_h1 status; }
wait_until 30 "h1 to wait for the manager's word" waits
prints "wait for the manager's word" on_h1 power-on || fail "power-on does not say that VMs wait"
waits || fail "systemd's call after a boot stood for the manager's word"
[ -z "$(pids_in h1 qemu-system-x86)" ] || fail "h1 started a VM before the manager had spoken"
godwit lab service start manager >/dev/null
gave_up() { [ "$(journal h1)" = GONE ]; }
wait_until 30 "h1 to give the VM up" gave_up
no_config() { [ ! -e "$lab_dir/hosts/h1/state/vms/$uuid.json" ]; }
wait_until 10 "h1 to forget the VM" no_config
godwit vm ls
[ "$(godwit vm ls --json | jq '.vms | length')" = 2 ] || fail "not two VMs are listed"
own_runs() { [ "$(vm_state own)$(vm_host own)" = runningh1 ]; }
wait_until 60 "h1 to start what is its own" own_runs
[ "$(pids_in h1 qemu-system-x86 | wc -w)" = 1 ] || fail "h1 runs more than its own VM"
checker_is_whole own
godwit vm stop own --force >/dev/null
[ "$(godwit vm show vm --json | jq -c '[.host, .state, .conflict]')" = '["h2","running",[]]' ] || fail "$(godwit vm show vm --json)"
migrate vm h1 --verify >/dev/null || fail "the VM does not move to the host that was dead"
checker_is_whole vm

# A damaged journal: whose VM it is cannot be read. Nothing starts or moves it until it is settled.
godwit lab service stop h1 >/dev/null
echo garbage >"$lab_dir/hosts/h1/state/vms/$uuid.journal"
godwit lab service start h1 >/dev/null
is_damaged() { [ "$(journal h1)" = corrupt ]; }
wait_until 30 "the damage to be seen" is_damaged
running() { [ "$(vm_state vm)" = running ]; }
wait_until 30 "the VM to be known" running
if task=$(migrate vm h2); then fail "a VM with a damaged journal was moved"; fi
say "$(jq -c '.error | [.id, .fix]' <<<"$task")"
godwit vm settle vm
pid=$(godwit vm show vm --json | jq .pid)
godwit vm settle vm --owner h1 --confirm h1
ls "$lab_dir/hosts/h1/state/vms/$uuid".journal.damaged-* >/dev/null || fail "the damaged journal was not kept"
[ "$(godwit vm show vm --json | jq .pid)" = "$pid" ] || fail "the guest was ended"
checker_is_whole vm
migrate vm h2 --verify >/dev/null || fail "the VM does not move after its journal was repaired"
checker_is_whole vm
