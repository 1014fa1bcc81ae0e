#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Storage and network as an operator has them: a datastore on an NFSv4 server, a network of VMs on a VLAN. A guest that writes to its disk and speaks all the
# time moves there and back: none of its records is lost, no other QEMU gets its disk, it stays in its VLAN and in no other. A server that answers nothing, exports
# read-only or not at all, and a VLAN that is another one or not there, are found before a move; agents stay responsive, and all is well when it is mended.
. "$(dirname "$0")/functions.sh" "$1"
as_qemu='setpriv --reuid godwit-qemu --regid godwit-qemu --clear-groups'
disk_mb=64

# The machines ------------------------------------------------------------------------------------------------------------------------------
# nas is the server, and a machine in the VLANs 100 and 200 that is no host.
nas_up() {
    host_wait nas
    host_network nas 3
    on nas "set -e
        mkdir -p /export/vms
        echo '/export/vms 198.18.1.0/24(rw,sync,no_subtree_check)' >/etc/exports
        systemctl start nfs-server
        for id in 100 200; do
            ip link add link vmport name vmport.\$id type vlan id \$id
            ip link set vmport.\$id up
        done"
}
vlan_on() {
    # The image goes without the service that makes /dev/net/tun, which loads the module when it is opened.
    on "$1" "set -e
        modprobe tun
        cd /etc/systemd/network
        printf '[NetDev]\nName=vmport.100\nKind=vlan\n[VLAN]\nId=100\n' >30-vmport.100.netdev
        printf 'VLAN=vmport.100\n' >>20-vmport.network
        printf '[NetDev]\nName=br100\nKind=bridge\n' >30-br100.netdev
        printf '[Match]\nName=br100\n[Network]\nLinkLocalAddressing=no\nConfigureWithoutCarrier=yes\n' >30-br100.network
        printf '[Match]\nName=vmport.100\n[Network]\nBridge=br100\n' >30-vmport.100.network
        systemctl restart systemd-networkd"
    wait_until 60 "the VLAN of $1" on "$1" 'ip -br link show master br100 | grep -q vmport.100'
}
storage_on() {
    on "$1" "set -e
        mkdir -p /srv/vms
        echo '198.18.1.13:/export/vms /srv/vms nfs4 _netdev 0 0' >>/etc/fstab
        systemctl daemon-reload
        systemctl start srv-vms.mount
        printf '\n[network v100]\nbridge=br100\n\n[datastore nfs]\npath=/srv/vms\n' >>/etc/godwit/agent.conf
        systemctl restart godwit-agent"
}
host_furnish() {
    vlan_on "$1"
    storage_on "$1"
    into "$1" 'cat >/srv/godwit/writer.elf' <"$build/tests/guests/writer/writer.elf"
}

# What is asked of them ---------------------------------------------------------------------------------------------------------------------
datastore_is() { godwit datastore ls --json | jq -e --arg state "$1" '.datastores[] | select(.name == "nfs") | [.hosts[].state] == [$state, $state]' >/dev/null; }
may_go() { godwit vm check "$1" --to "$2" --json >/dev/null; }
finding() { godwit vm check web --to "$1" --json | jq -c --arg id "$2" '.hosts[0].findings[] | select(.id == $id)'; }
has_finding() { [ -n "$(finding "$@")" ]; }
# The newest line of the guest's report: a Linux guest would take minutes to boot here.
disk_line() { godwit vm console web --log | sed -n '/seq=.*seq=/d; /^DISK seq=.* sent=[0-9]/p' | tail -n 1; }
disk_says() { disk_line | tr ' ' '\n' | tr -d '\r' | sed -n "s/^$1=//p"; }
# What only the guest sends: nas in the guest's VLAN hears it.
heard() { on nas "nft -j list chain netdev heard $1" | jq --argjson type "$2" '[.nftables[].rule? // empty | .expr | select(any(.[]; .match.right? == $type)) | .[].counter.packets? // empty] | add'; }
goes_on() { [ -n "$(disk_line)" ] && [ "$(disk_says seq)" -gt "$1" ] && [ "$(heard vmport.100 34997)" -gt "$2" ]; }
# move_on TO: the guest moves, its disk and its network go on, and its disk is its own
move_on() {
    local name written
    written=$(disk_says seq)
    move web "$1"
    wait_until 60 "the guest to go on" goes_on "$written" "$(heard vmport.100 34997)"
    guest_is_only_on "$1"
    for name in h1 h2; do
        ! on $name "$as_qemu qemu-io -c 'write 0 512' /srv/vms/web.qcow2" >"$lane_dir/qemu-io" 2>&1 || fail "$name could write to the disk of a guest that runs"
        grep -q 'Failed to get.*lock' "$lane_dir/qemu-io" || fail "$name: $(cat "$lane_dir/qemu-io")"
    done
    [ "$(disk_says bad) $(disk_says errors)" = "0 0" ] || fail "the guest found its disk bad: $(disk_line)"
    say "$(disk_line)"
}

# The steps ---------------------------------------------------------------------------------------------------------------------------------
datastore_is_known() {
    wait_until 60 "both hosts to see a folder" datastore_is uninitialised
    godwit datastore init nfs --host h1 >/dev/null
    wait_until 60 "both hosts to know the datastore" datastore_is ok
    godwit datastore ls --json | jq -e '.datastores[0] | (.identities | length == 1) and .type == "nfs4"' >/dev/null || fail "$(godwit datastore ls --json)"
    [ "$(godwit host show h2 --json | jq -c '.facts.networks[] | select(.name == "v100") | [.uplink, .vlan, .uplink_problem]')" = '["vmport.100",100,""]' ] ||
        fail "$(godwit host show h2 --json)"
}
# listen MAC: what that machine sends is written down as it passes the hosts' cables, and counted in each network of nas: announcements, and its own frames
listen() {
    ip netns exec "$lane_name" "$tests/hosts/wire" "$1" vmport1 vmport2 vmport3 >"$lane_dir/wire" &
    wire_pid=$!
    on_exit 'kill $wire_pid 2>/dev/null || true'
    on nas "set -e
        nft 'add table netdev heard'
        for port in vmport vmport.100 vmport.200; do
            nft \"add chain netdev heard \$port { type filter hook ingress device \$port priority 0; }\"
            for type in 32821 34997; do
                nft \"add rule netdev heard \$port ether saddr $1 ether type \$type counter\"
            done
        done"
}
web_up() {
    # It grows while it moves: what the destination has opened before becomes longer.
    on h1 "$as_qemu qemu-img create -q -f qcow2 /srv/vms/web.qcow2 ${disk_mb}M"
    godwit vm create web --host h1 --memory 64 --cpus 1 --accel tcg --kernel /srv/godwit/writer.elf --network v100 --disk nfs:web.qcow2 >/dev/null
    listen "$(godwit vm show web --json | jq -r '.spec.nics[0].mac')"
    godwit vm start web
    wait_until 60 "the guest to write and to be heard" goes_on 10 0
    say "the guest works after $SECONDS s: $(disk_line)"
}
# It is heard in its VLAN only, and its move announced there to a machine that is no host.
stays_in_its_vlan() {
    local port type
    for port in "vmport1 in" "vmport2 in" "vmport3 out"; do
        grep -q "^$port 0x88b5 100$" "$lane_dir/wire" || fail "nothing of the guest passed $port: $(sort "$lane_dir/wire" | uniq -c)"
    done
    ! grep ' 0x' "$lane_dir/wire" | grep -v ' 100$' || fail "the guest was heard outside of its VLAN"
    [ "$(heard vmport.100 32821)" -gt 0 ] || fail "nas did not hear that the guest has moved"
    for port in vmport.200 vmport; do
        for type in 32821 34997; do
            [ "$(heard $port $type)" = 0 ] || fail "the guest was heard in $port"
        done
    done
}

# VLANs that are not what the guest needs, on the host that it shall go to.
wrong_vlans() {
    local to=$1
    # It would take each change back.
    on "$to" 'set -e
        systemctl -q stop systemd-networkd.socket systemd-networkd
        ip link set vmport.100 nomaster
        ip link add link vmport name vmport.200 type vlan id 200
        ip link set vmport.200 master br100 up'
    wait_until 30 "the other VLAN to be seen" has_finding "$to" network-vlan-differs
    expect_error network-vlan-differs godwit vm migrate web --to "$to"
    on "$to" 'ip link del vmport.200'
    wait_until 30 "the missing VLAN to be seen" has_finding "$to" network-isolated
    on "$to" 'ip link set vmport.100 master br100 down'
    wait_until 30 "the VLAN that is down to be seen" has_finding "$to" network-uplink-down
    finding "$to" network-uplink-down | grep -q 'vmport.100 is down' || fail "$(finding "$to" network-uplink-down)"
    on "$to" 'systemctl start systemd-networkd'
    wait_until 30 "the VLAN to be well" has_no_findings "$to"
}
has_no_findings() { godwit vm check web --to "$1" --json | jq -e '.hosts[0].findings | map(select(.id | startswith("network"))) == []' >/dev/null; }

# The server takes everything and answers nothing.
dead_server() {
    local to=$1 name pid
    on nas "nft 'add table inet dead { chain in { type filter hook input priority 0; iifname mgmt drop; }; chain out { type filter hook output priority 0; oifname mgmt drop; }; }'"
    wait_until 60 "both hosts to see that it does not answer" datastore_is stale
    godwit datastore ls
    godwit datastore show nfs --json | jq -e 'all(.hosts[]; .reason | test("no answer for more than 10 s"))' >/dev/null || fail "$(godwit datastore show nfs --json)"
    expect_error datastore-stale godwit vm migrate web --to "$to"
    # An agent that starts now comes up all the same, and has its guest.
    pid=$(guest_pid web)
    for name in h1 h2; do
        on $name 'systemctl restart godwit-agent'
    done
    for name in h1 h2; do
        wait_until 60 "$name to be connected" host_is_connected $name
    done
    wait_until 30 "the guest to be known" guest_runs web
    [ "$(guest_pid web)" = "$pid" ] || fail "the guest has another QEMU than before"
    wait_until 60 "both hosts to see that it does not answer" datastore_is stale
    expect_error datastore-stale godwit vm migrate web --to "$to"
    on nas 'nft delete table inet dead'
    wait_until 60 "the datastore to be well" datastore_is ok
}

# web_is_whole: off, its image is whole and has each record that the guest said was written
web_is_whole() {
    local last
    last=$(disk_says seq)
    godwit vm stop web --force >/dev/null
    on nas 'qemu-img check -q /export/vms/web.qcow2 && qemu-img convert -O raw /export/vms/web.qcow2 /root/web.raw'
    on nas "head -c $(((last + 1000) * 4096)) /root/web.raw" >"$lane_dir/web.raw"
    "$tests/tools/disk-records" "$lane_dir/web.raw" $disk_mb "$last" || fail "records are lost, of $last"
}

# The server exports it read-only, and then not at all: what runs there and does not write stays, and cannot move meanwhile.
withdrawn_export() {
    local to=$1
    # Its disk is open, and nothing is written to it.
    godwit vm create idle --host h1 --memory 64 --cpus 1 --accel tcg --kernel /srv/godwit/checker.elf --append "mb=1 rate=1 hz=50" --disk nfs:web.qcow2 --start >/dev/null
    on nas "exportfs -o ro,sync,no_subtree_check 198.18.1.0/24:/export/vms && exportfs -f"
    wait_until 60 "both hosts to see that it is read-only" datastore_is read-only
    expect_error datastore-read-only godwit vm migrate idle --to "$to"
    on nas "exportfs -u 198.18.1.0/24:/export/vms && exportfs -f"
    wait_until 60 "both hosts to see that it is gone" datastore_is stale
    godwit datastore show nfs --json | jq -e 'all(.hosts[]; .reason | test("stale file handle"))' >/dev/null || fail "$(godwit datastore show nfs --json)"
    expect_error datastore-stale godwit vm migrate idle --to "$to"
    on nas "exportfs -r && exportfs -f"
    wait_until 60 "the datastore to be well" datastore_is ok
    # Its server asks anew whether each file may be had, and lets wait until it knows.
    wait_until 60 "the disk to be well" may_go idle "$to"
    move idle "$to"
}

cluster_start
host_start nas 3
nas_up &
nas_pid=$!
cluster_install
wait $nas_pid
# Hosts that are set up alike have the same number for QEMU's user.
on nas "chown $(on h1 'id -u godwit-qemu') /export/vms"
on_both host_furnish
datastore_is_known
say "datastore and VLAN are there after $SECONDS s"
web_up
guest_is_only_on h1
move_on h2
stays_in_its_vlan
expect_error disk-locked godwit vm create other --host h1 --memory 64 --cpus 1 --accel tcg --kernel /srv/godwit/checker.elf --disk nfs:web.qcow2 --start
wrong_vlans h1
dead_server h1
move_on h1
stays_in_its_vlan
web_is_whole
withdrawn_export h2
say "done after $SECONDS s"
