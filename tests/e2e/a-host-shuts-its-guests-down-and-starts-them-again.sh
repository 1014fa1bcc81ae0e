#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What systemd calls when a host goes down: the move that is under way is taken back, guests are asked to switch off and those that do not are ended, nothing
# starts or arrives meanwhile. When the host is up again, VMs with autostart run, others do not. A restart of the agent stops no guest.
. "$(dirname "$0")/../functions.sh" "$1"
PATH=$build/stage/usr/local/sbin:$PATH
lab_up --hosts 2
on_h1() { godwit lab exec h1 -- godwit-agent "$@" --config "$lab_dir/hosts/h1/agent.conf"; }
disk=$(disk_image data 64M)
linux_vm web h1 256 1 "gw.disk=16" "$disk"
godwit vm set web --autostart yes >/dev/null
checker_vm deaf h1 128 1 tcg "mb=32 rate=5 mode=page"
checker_vm guest h2 128 1 tcg "mb=32 rate=5 mode=page"

copying() { godwit task show "$1" --json | jq -e '.phase == "copy" and (.bytes_on_wire // 0) > 0' >/dev/null; }
leaving=$(godwit vm migrate deaf --to h2 --bandwidth 1 --detach)
coming=$(godwit vm migrate guest --to h1 --bandwidth 1 --detach)
wait_until 30 "both copies to run" eval 'copying "$leaving" && copying "$coming"'

say "down: the checker ignores the power button, Linux does not"
on_h1 shutdown --timeout 15
[ -z "$(pids_in h1 qemu-system-x86)" ] || fail "a QEMU is left on h1"
for task in "$leaving" "$coming"; do
    wait_until 30 "the move to end" task_is_over "$task"
    result=$(godwit task show "$task" --json)
    say "$(jq -r '.state + ": " + .error.id + ": " + .error.message' <<<"$result")"
    [ "$(jq -r .state <<<"$result")" != success ] || fail "a move went on through the shutdown"
done
grep -q 'VM deaf: the guest did not switch itself off in time' "$lab_dir/log/h1.log" || fail "the checker was not waited for"
! grep -q 'VM web: the guest did not switch itself off in time' "$lab_dir/log/h1.log" || fail "Linux was ended, not shut down"
off() { [ "$(vm_state web)$(vm_host web)$(vm_state deaf)$(vm_host deaf)" = offh1offh1 ]; }
wait_until 20 "both VMs to be off on h1" off
qemu-img check -q "$disk" || fail "the image is damaged"
[ "$(vm_host guest)$(vm_state guest)" = h2running ] || fail "the VM that was coming is $(vm_state guest) on $(vm_host guest)"
checker_is_whole guest
expect_error host-shutting-down godwit vm start web

say "up: as systemd does after a boot"
godwit lab service stop h1
cat /proc/sys/kernel/random/uuid >"$lab_dir/hosts/h1/state/boot_id"
godwit lab service start h1
serves() { on_h1 status >/dev/null 2>&1; }
wait_until 30 "the agent" serves
on_h1 power-on
web_runs() { [ "$(vm_state web)" = running ]; }
wait_until 60 "the VM with autostart to be started at the manager's word" web_runs
wait_until 60 "the VM with autostart to be up" console_has web "GUEST ready"
[ "$(vm_state deaf)" = off ] || fail "a VM without autostart was started"
godwit vm start deaf >/dev/null

say "a restart of the agent is no shutdown"
pid=$(godwit vm show web --json | jq .pid)
godwit lab service stop h1
godwit lab service start h1
wait_until 30 "the agent" serves
[ "$(godwit vm show web --json | jq .pid)" = "$pid" ] || fail "the guest was stopped with the agent"
kill -0 "$pid" || fail "the guest was stopped with the agent"
