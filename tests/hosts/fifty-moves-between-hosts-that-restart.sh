#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# fifty-moves-between-hosts-that-restart.sh BUILD [N] [STEP…]: between two Debian machines the self-checking guest loses no write in N moves (50), and none over
# restarts, upgrades and kills of agents and manager, a slow link, a VLAN and shared storage; a host that boots again starts its guest again.
. "$(dirname "$0")/functions.sh" "$1"
n_moves=${2:-50}
steps=(moves restarts kills upgrade netem vlan nfs reboot)
[ $# -le 2 ] || steps=("${@:3}")

other_host() { [ "$1" = h1 ] && echo h2 || echo h1; }
there() { vm_host guest; }
move_over() { move guest "$(other_host "$(there)")" "$@"; }
main_pid() { on "$1" "systemctl show -P MainPID $2"; }
# service_is_new HOST SERVICE OLD: systemd started it again
service_is_new() {
    local now
    now=$(main_pid "$1" "$2") && [ "$now" != 0 ] && [ "$now" != "$3" ]
}
# kill_service HOST SERVICE: the main process only; systemd starts it again
kill_service() {
    local old
    old=$(on "$1" "systemctl show -P MainPID $2; systemctl kill --kill-whom=main -s KILL $2")
    wait_until 30 "systemd to start $2 on $1 again" service_is_new "$1" "$2" "$old"
}
both_are_connected() {
    wait_until 60 "h1 to be connected" host_is_connected h1
    wait_until 60 "h2 to be connected" host_is_connected h2
    wait_until 60 "the guest to be known" guest_runs guest
}
guest_is_untouched() {
    both_are_connected
    [ "$(guest_pid guest)" = "$1" ] || fail "the guest has another QEMU than before"
    guest_is_only_on "$(there)"
    checker_is_whole guest
}

step_moves() {
    local i verify
    for ((i = 1; i <= n_moves; i++)); do
        verify=$([ $((i % 5)) = 0 ] && echo --verify || true)
        # shellcheck disable=SC2086 # none or one option
        move_over $verify
        [ $((i % 10)) != 0 ] || checker_is_whole guest
    done
    guest_is_only_on "$(there)"
    checker_is_whole guest
}

step_restarts() {
    local pid
    pid=$(guest_pid guest)
    on h1 'systemctl restart godwit-agent godwitd'
    on h2 'systemctl restart godwit-agent'
    guest_is_untouched "$pid"
    move_over
    checker_is_whole guest
}

# In the copy, at the source, at the destination, and the manager. The copy is held by a link that carries little; its queue is short, or
# the connections would be given up for lost.
task_is_over() { godwit task show "$1" --json | jq -e '.state | IN("success", "error", "cancelled")' >/dev/null; }
task_copies() {
    local document
    document=$(godwit task show "$1" --json)
    ! jq -e '.state | IN("success", "error", "cancelled")' <<<"$document" >/dev/null || fail "the task ended early: $document"
    jq -e '.phase == "copy" and .bytes_on_wire > 0' <<<"$document" >/dev/null
}
link_hold() { on "$1" 'tc qdisc add dev migr root netem rate 1mbit limit 20'; }
link_let_go() { on "$1" 'tc qdisc del dev migr root'; }
kill_in_copy() {
    local host=$1 service=$2 source pid task document
    source=$(there)
    pid=$(guest_pid guest)
    link_hold "$source"
    task=$(godwit vm migrate guest --to "$(other_host "$source")" --detach)
    wait_until 60 "the copy" task_copies "$task"
    kill_service "$host" "$service"
    link_let_go "$source"
    both_are_connected
    wait_until 60 "the task to end" task_is_over "$task"
    document=$(godwit task show "$task" --json)
    say "$service of $host killed in the copy: $(jq -r '"\(.state), \(.error.id // "no error"): \(.error.message // "")"' <<<"$document")"
    if [ "$(jq -r .state <<<"$document")" = success ]; then
        [ "$service" = godwitd ] || fail "the move succeeded without $service of $host"
        guest_is_only_on "$(other_host "$source")"
        checker_is_whole guest
    else
        [ "$service" != godwitd ] || fail "the copy needs no manager"
        [ "$(there)" = "$source" ] || fail "the move failed and the guest is on $(there)"
        guest_is_untouched "$pid"
    fi
    move_over --verify
    checker_is_whole guest
}
step_kills() {
    kill_in_copy "$(there)" godwit-agent
    kill_in_copy "$(other_host "$(there)")" godwit-agent
    kill_in_copy h1 godwitd
}

step_upgrade() {
    local pid
    pid=$(guest_pid guest)
    on h1 'sha256sum /etc/godwit/*' >"$lane_dir/before"
    upgrade_on h1
    upgrade_on h2
    guest_is_untouched "$pid"
    on h1 'sha256sum /etc/godwit/*' | cmp - "$lane_dir/before" || fail "the upgrade changed the administrator's files"
    move_over --verify
    checker_is_whole guest
}

# 50 ms each way, as between two towns
step_netem() {
    local name
    for name in h1 h2; do
        on $name 'tc qdisc add dev migr root netem delay 50ms'
    done
    move_over --verify
    for name in h1 h2; do
        on $name 'tc -s qdisc show dev migr | grep -q netem && tc qdisc del dev migr root'
    done
    checker_is_whole guest
}

vlan_bytes() { on "$1" "cat /sys/class/net/migr.100/statistics/tx_bytes"; }
step_vlan() {
    local name number source before now
    for number in 1 2; do
        name=h$number
        on $name "set -e
            cd /etc/systemd/network
            printf '[NetDev]\nName=migr.100\nKind=vlan\n[VLAN]\nId=100\n' >20-vlan.netdev
            printf '[Match]\nName=migr.100\n[Network]\nAddress=198.18.4.1$number/24\n' >20-vlan.network
            printf 'VLAN=migr.100\n' >>20-migr.network
            systemctl restart systemd-networkd
            sed -i 's/^addresses=.*/addresses=198.18.4.1$number/' /etc/godwit/agent.conf"
        wait_until 60 "the VLAN of $name" on $name 'ip -br addr show migr.100 | grep -q 198.18.4.1'
        on $name 'systemctl restart godwit-agent'
    done
    both_are_connected
    source=$(there)
    before=$(vlan_bytes "$source")
    move_over --verify
    now=$(vlan_bytes "$source")
    [ $((now - before)) -gt 8000000 ] || fail "only $((now - before)) bytes went over the VLAN"
    checker_is_whole guest
}

# A disk on storage that h1 exports and both mount at the same path.
step_nfs() {
    on h1 "set -e
        mkdir -p /export/vms /srv/vms
        chown godwit-qemu:godwit-qemu /export/vms
        echo '/export/vms 198.18.1.0/24(rw,sync,no_subtree_check)' >/etc/exports
        systemctl start nfs-server
        mount -t nfs4 198.18.1.11:/export/vms /srv/vms"
    on h2 'mkdir -p /srv/vms && mount -t nfs4 198.18.1.11:/export/vms /srv/vms'
    # As QEMU's user: root of a client is nobody at the server.
    local as_qemu='setpriv --reuid godwit-qemu --regid godwit-qemu --clear-groups'
    on h1 "$as_qemu qemu-img create -q -f qcow2 /srv/vms/disk.qcow2 64M"
    godwit vm stop guest --force >/dev/null
    godwit vm set guest --disk /srv/vms/disk.qcow2 >/dev/null
    godwit vm start guest >/dev/null
    wait_until 60 "the guest to report" checker_reports guest
    move_over --verify
    checker_is_whole guest
    # The lock on the image went along: nobody else may open it for writing, from neither host.
    local name
    for name in h1 h2; do
        if on $name "$as_qemu qemu-io -c 'write 0 512' /srv/vms/disk.qcow2" >"$lane_dir/qemu-io" 2>&1; then
            fail "$name could write to the disk of a guest that runs: $(cat "$lane_dir/qemu-io")"
        fi
        grep -q lock "$lane_dir/qemu-io" || fail "$name: $(cat "$lane_dir/qemu-io")"
    done
    move_over
    checker_is_whole guest
    godwit vm stop guest --force >/dev/null
    godwit vm set guest --disk '' >/dev/null
    on h2 'umount /srv/vms'
    on h1 'umount /srv/vms && systemctl stop nfs-server'
    godwit vm start guest >/dev/null
    wait_until 60 "the guest to report" checker_reports guest
}

step_reboot() {
    local pid
    [ "$(there)" = h2 ] || move_over
    godwit vm set guest --autostart yes >/dev/null
    pid=$(guest_pid guest)
    host_reboot h2
    wait_until 60 "h2 to be connected" host_is_connected h2
    wait_until 60 "the guest to be started" guest_runs guest
    wait_until 60 "the guest to report" checker_reports guest
    guest_is_only_on h2
    checker_is_whole guest
    move_over --verify
    checker_is_whole guest
    say "the guest came back with its host (QEMU was $pid) and moved on"
}

cluster_up
guest_up guest h1
for step in "${steps[@]}"; do
    before=$SECONDS
    "step_$step"
    say "step $step took $((SECONDS - before)) s"
done
say "all took $SECONDS s"
