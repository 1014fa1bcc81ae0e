# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# A bad network. Sourced by tests/fault/run; aim sets node and how.

# A cable comes out of the switch.
strike_management-link() { ip -n "$lab_name-sw" link set "$node-mgmt" down; }
relent_management-link() { ip -n "$lab_name-sw" link set "$node-mgmt" up; }

# Its connections give up after 5 s of silence: a longer outage ends them, and a copy then waits for new ones. One of 20 s is longer than that and its limit.
prepare_migration-link() { with=(--resume-limit 10); }
strike_migration-link() { ip -n "$lab_name-sw" link set "$node-mig" down; }
relent_migration-link() { ip -n "$lab_name-sw" link set "$node-mig" up; }
check_migration-link() {
    case $phase/$how in
    copy/8s) check_reset ;;
    copy/20s) failed_with '^resume-limit$' ;;
    esac
}
# failed_with PATTERN: the id of the task's error; one that succeeded has none
failed_with() {
    task_json | jq -e --arg pattern "$1" '.error.id // "" | test($pattern)' >/dev/null || fail "the error is not $1: $(task_json | jq -c .error)"
}

# rule HOST RULE: in a host's own packet filter, of what it receives
rule() {
    godwit lab exec "$1" -- nft -f - <<END
table inet trouble {
    chain received {
        type filter hook input priority 0
        $2
    }
}
END
}
no_rule() { godwit lab exec "$1" -- nft delete table inet trouble 2>/dev/null || true; }
# It sends, and does not hear.
prepare_deaf() { with=(--resume-limit 10); }
strike_deaf() { rule "$node" 'iifname "eth-mig" drop'; }
relent_deaf() { no_rule "$node"; }
check_deaf() { check_migration-link; }
strike_reset() { rule "$node" 'tcp dport 8000 reject with tcp reset; tcp sport 8000 reject with tcp reset'; }
relent_reset() { no_rule "$node"; }
check_reset() { task_json | jq -e '.resumes >= 1' >/dev/null || fail "no connection was lost"; }
# The connection with the least bytes is the one for control records; its next packet is a keep-alive.
prepare_control-reset() { with=(--bandwidth 2); }
strike_control-reset() {
    local port
    port=$(godwit lab exec "$from" -- ss -tniHO 'dport = :8000' |
        awk '{split($4, at, ":"); match($0, /bytes_sent:[0-9]+/); n = substr($0, RSTART + 11, RLENGTH - 11) + 0; print n, at[2]}' | sort -n | head -n 1 | cut -d' ' -f2)
    rule "$to" "tcp sport $port counter reject with tcp reset"
}
relent_control-reset() { no_rule "$to"; }
check_control-reset() { check_reset; }
strike_loss() {
    local host
    for host in h1 h2; do
        rule "$host" "iifname \"eth-mig\" numgen random mod 100 < $how drop"
    done
}
relent_loss() {
    no_rule h1
    no_rule h2
}

# router_up MTU ITS-ADDRESS/PREFIX ADDRESS-OF-H1 ADDRESS-OF-H2: the two reach each other on the migration network through a router, which sends over a link of
# that MTU, and says of packets that they are too large for it. (That link has an address of its own, so that nobody takes it for the other.)
router_up() {
    local sw=$lab_name-sw router=$lab_name-router port
    ip netns add "$router"
    ip netns exec "$router" sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 net.ipv6.conf.default.accept_dad=0 \
        net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0 \
        net.ipv4.conf.all.send_redirects=0 net.ipv4.conf.default.send_redirects=0
    for port in in out; do
        ip -n "$router" link add $port type veth peer name "router-$port" netns "$sw"
        ip -n "$sw" link set "router-$port" master mig up
        ip -n "$router" link set $port up
    done
    ip -n "$router" link set out mtu "$1"
    ip -n "$router" addr add 192.0.2.1/32 dev out
    ip -n "$router" addr add "$2" dev in
    ip -n "$router" route add "$3" dev out
    ip -n "$router" route add "$4" dev out
    ip -n "$lab_name-h1" route add "$4" via "${2%/*}" dev eth-mig
    ip -n "$lab_name-h2" route add "$3" via "${2%/*}" dev eth-mig
}
router_down() {
    local router=$lab_name-router port
    ip -n "$lab_name-h1" route del "$4" via "${2%/*}" dev eth-mig
    ip -n "$lab_name-h2" route del "$3" via "${2%/*}" dev eth-mig
    for port in in out; do
        ip -n "$router" link del $port
    done
    ip netns del "$router"
}

# cut_cable OPTION…: the migration cable of the host leads through tests/tools/frame-bridge before it comes to the switch
cut_cable() {
    local sw=$lab_name-sw device
    ip -n "$sw" link add mig-cut type bridge stp_state 0 forward_delay 0 mcast_snooping 0
    for device in cut-host cut-switch; do
        ip -n "$sw" tuntap add dev $device mode tap
    done
    ip netns exec "$sw" "$build/tests/tools/frame-bridge" cut-host cut-switch "$@" >"$lab_dir/frame-bridge.said" &
    bridge_pid=$!
    wait_until 10 "the frame bridge" grep -q ready "$lab_dir/frame-bridge.said"
    ip -n "$sw" link set cut-host master mig-cut
    ip -n "$sw" link set cut-switch master mig
    ip -n "$sw" link set "$node-mig" master mig-cut
    for device in mig-cut cut-host cut-switch; do
        ip -n "$sw" link set $device up
    done
}
mend_cable() {
    local sw=$lab_name-sw device
    ip -n "$sw" link set "$node-mig" master mig
    if [ -n "${bridge_pid:-}" ]; then
        kill "$bridge_pid" 2>/dev/null || true
        wait "$bridge_pid" 2>/dev/null || true
        bridge_pid=
    fi
    for device in cut-host cut-switch mig-cut; do
        ip -n "$sw" link del $device 2>/dev/null || true
    done
}
tampered() { [ "$(wc -l <"$lab_dir/frame-bridge.said")" -gt 1 ] || fail "the frame bridge changed nothing"; }
strike_delay() { cut_cable --delay-ms "$how"; }
relent_delay() { mend_cable; }
strike_reorder() { cut_cable --reorder "$how"; }
relent_reorder() { mend_cable; }
strike_garble() { cut_cable --garble "$how"; }
relent_garble() { mend_cable; }
# What TCP cannot notice, TLS does.
prepare_tamper() { with=(--encryption required); }
strike_tamper() { cut_cable --tamper "$how"; }
check_tamper() {
    tampered
    failed_with '^stream-damaged$'
}
relent_tamper() { mend_cable; }
# One bit of one record: only in a move without encryption can it be chosen.
prepare_flip() {
    with=(--encryption disabled --compression off --delta off)
    case $how in
    PACKED) with=(--encryption disabled --compression zstd --delta off) ;;
    DELTA) with=(--encryption disabled --compression off --delta on --bandwidth 6) ;;
    VERIFY*) with+=(--verify) ;;
    esac
}
strike_flip() {
    local type
    case ${how%@*} in
    HELLO) type=0x01 ;; DEVICE_STATE) type=0x02 ;; READY) type=0x03 ;; COMMIT) type=0x04 ;; RUNNING) type=0x05 ;;
    PAGES) type=0x101 ;; ZERO) type=0x102 ;; SYNC) type=0x104 ;; ACK) type=0x105 ;; VERIFY_BEGIN) type=0x106 ;;
    VERIFY) type=0x107 ;; FINISH) type=0x108 ;; PACKED) type=0x109 ;; DELTA) type=0x10a ;;
    *) fail "no record is called $how" ;;
    esac
    case $how in
    *@*) cut_cable --flip $type --flip-at "${how#*@}" ;;
    *) cut_cable --flip $type ;;
    esac
}
check_flip() { tampered; }
relent_flip() { mend_cable; }
