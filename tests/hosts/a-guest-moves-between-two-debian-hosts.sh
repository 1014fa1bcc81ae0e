#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Godwit, installed by the README's steps on two Debian 12 machines with their own kernel and systemd, moves a self-checking guest there and back;
# a restarted and a killed agent leave it running.
. "$(dirname "$0")/functions.sh" "$1"
cluster_up
for name in h1 h2; do
    facts=$(godwit host show $name --json | jq .facts)
    jq -e '(.kernel | startswith("6.1.")) and .dirty_source == "sync" and .cgroups == "v2"' <<<"$facts" >/dev/null || fail "$name is not what this test is for: $facts"
done
guest_up guest h1
say "the guest works after $SECONDS s"
guest_is_only_on h1
on h1 "grep -q godwit-vms /proc/$(guest_pid guest)/cgroup" || fail "QEMU is not in the control group of its VM"

move guest h2 --verify
guest_is_only_on h2
checker_is_whole guest

pid=$(guest_pid guest)
on h2 'systemctl restart godwit-agent'
wait_until 30 "the guest to be known again" guest_runs guest
[ "$(guest_pid guest)" = "$pid" ] || fail "the restart of the agent changed QEMU's process"
old=$(on h2 'systemctl show -P MainPID godwit-agent')
# Only the agent: without --kill-whom all of the service would be killed, its door too.
on h2 'systemctl kill --kill-whom=main -s KILL godwit-agent'
agent_is_new() {
    local now
    now=$(on h2 'systemctl show -P MainPID godwit-agent') && [ "$now" != 0 ] && [ "$now" != "$old" ]
}
wait_until 30 "systemd to start the agent again" agent_is_new
# It asks its QEMU first; a manager that has not asked it since takes the host for connected.
wait_until 60 "the agent to be ready" on h2 'systemctl is-active --quiet godwit-agent'
wait_until 30 "h2 to be connected" host_is_connected h2
wait_until 30 "the guest to be known again" guest_runs guest
[ "$(guest_pid guest)" = "$pid" ] || fail "the end of the agent changed QEMU's process"

move guest h1
guest_is_only_on h1
checker_is_whole guest
godwit vm stop guest --force >/dev/null
[ -z "$(qemus h1)" ] || fail "a QEMU is left over"
# Hosts this slow showed a QEMU that ends long after its control connection.
for name in h1 h2; do
    ! on $name 'journalctl -q --no-pager -u godwit-agent | grep "runs and does not answer"' || fail "the agent of $name took a QEMU that ended for one that hangs"
done
say "done after $SECONDS s"
