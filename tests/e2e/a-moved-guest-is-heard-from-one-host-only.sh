#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A guest with a network card in each of two networks, of different MTU and with IPv4 and IPv6, moves: the switch hears none of its addresses from the
# destination before the source has handed it over, and several announcements from there afterwards; MAC addresses and MTUs stay. So do the balloon, with
# what the guest gave back, the random numbers and a watchdog that was armed.
. "$(dirname "$0")/../functions.sh" "$1"
lab_up --hosts 2
# A second network, with frames that are larger; its cables end in a bridge of its own at the switch.
second_network() {
    local host sw=$lab_name-sw node
    ip -n "$sw" link add two type bridge stp_state 0 forward_delay 0 mcast_snooping 0
    ip -n "$sw" link set two mtu 9000 up
    for host in h1 h2; do
        node=$lab_name-$host
        ip -n "$node" link add two type bridge stp_state 0 forward_delay 0 mcast_snooping 0
        ip link add eth-two netns "$node" type veth peer name "$host-two" netns "$sw"
        ip -n "$sw" link set "$host-two" mtu 9000 master two up
        ip -n "$node" link set eth-two mtu 9000 master two up
        ip -n "$node" link set two mtu 9000 up
        printf '\n[network two]\nbridge=two\n' >>"$lab_dir/hosts/$host/agent.conf"
        agent_restart "$host"
    done
}
second_network
godwit vm create web --memory 256 --cpus 1 --host h1 --kernel "$linux/vmlinuz" --initrd "$linux/initrd" --network vmnet --network two \
    --append "console=ttyS0 quiet gw.ip=198.18.3.10/24 gw.ip6=fd00:3::10/64 gw.shell gw.work=32:20" --start
wait_until 60 "the guest" console_has web "GUEST ready"
macs=$(godwit vm show web --json | jq -c '[.spec.nics[].mac]')
in_guest() { godwit vm console web --type "$1"; }
# answers_in_guest COMMAND WANTED: the command's output in the guest, which is one line, is WANTED
answers_in_guest() {
    tag=$((${tag:-0} + 1))
    in_guest "echo \"answer $tag:\" \$($1)."
    wait_until 20 "the guest's answer to '$1'" console_has web "^answer $tag:"
    [ "$(godwit vm console web --log | tr -d '\r' | sed -n "s/^answer $tag: \(.*\)\.$/\1/p")" = "$2" ] ||
        fail "in the guest: $1: $(godwit vm console web --log | grep "answer $tag:")"
}
looks_right() {
    answers_in_guest "cat /sys/class/net/eth0/mtu /sys/class/net/eth1/mtu" "1500 9000"
    answers_in_guest "cat /sys/class/net/eth0/address /sys/class/net/eth1/address" "$(jq -r '.[0] + " " + .[1]' <<<"$macs")"
    answers_in_guest "cat /sys/class/misc/hw_random/rng_current" "virtio_rng.0"
    answers_in_guest "head -c 16 /dev/hwrng | wc -c" 16
}
in_guest "ip link set eth1 up; ip addr add 198.18.9.10/24 dev eth1"
looks_right

say "the guest gives 128 MiB back"
has_balloon() { [ "$(godwit vm show web --json | jq .balloon_mib)" = "$1" ]; }
# kept_mib HOST: memory of the guest that the host holds for it
kept_mib() {
    local fd
    for fd in /proc/"$(pids_in "$1" qemu-system-x86)"/fd/*; do
        case $(readlink "$fd") in
        */memfd:*) echo $(($(stat -Lc '%b * %B' "$fd") / 1048576)) && return ;;
        esac
    done
}
expect_error balloon-target godwit vm balloon web 300
godwit vm balloon web 128
wait_until 60 "the guest to give it back" has_balloon 128
[ "$(kept_mib h1)" -le 132 ] || fail "the host still holds $(kept_mib h1) MiB"

say "a watchdog is armed: 15 s without a sign, and 15 s more"
for line in 'd=/sys/bus/pci/devices/0000:00:04.0; echo 1 >$d/enable; base=$(head -n 1 $d/resource | cut -d" " -f1)' \
    'w() { devmem $(($base + $1)) $2 $3; }; open() { w 12 16 0x80; w 12 16 0x86; }' \
    'printf "\003\000" | dd of=$d/config bs=1 seek=96 conv=notrunc 2>/dev/null' \
    'open; w 0 32 7680; open; w 4 32 7680; open; w 12 16 0x100' \
    'printf "\002" | dd of=$d/config bs=1 seek=104 conv=notrunc 2>/dev/null'; do
    in_guest "$line"
done
answers_in_guest 'dd if=$d/config bs=1 skip=104 count=1 2>/dev/null | od -An -tu1 | tr -d " "' 2
boot=$(guest_says count | jq -r .boot_id)

say "the switch listens"
listen() {
    : >"$lab_dir/$1.log"
    ip netns exec "$lab_name-sw" tcpdump -q -e -n -l -tt -Z root -Q in -i "$1" \
        "ether src $(jq -r '.[0]' <<<"$macs") or ether src $(jq -r '.[1]' <<<"$macs")" >"$lab_dir/$1.heard" 2>"$lab_dir/$1.log" &
    on_exit "kill $! 2>/dev/null || true"
    wait_until 20 "tcpdump" grep -q "listening on" "$lab_dir/$1.log"
}
listen h2-vm
listen h2-two
document=$(migrate web h2) || fail "the move: $(jq -c .error <<<"$document")"
# announced PORT MAC: RARP from the guest's address there, in several rounds
announced() { [ "$(grep -c "$2 .*RARP\|$2 .*Reverse Request\|$2 .*0x8035" "$lab_dir/$1.heard")" -ge 4 ]; }
wait_until 20 "announcements on the first network" announced h2-vm "$(jq -r '.[0]' <<<"$macs")"
wait_until 20 "announcements on the second network" announced h2-two "$(jq -r '.[1]' <<<"$macs")"
# Linux asks its neighbours itself then, for IPv4 and IPv6.
heard() { grep -q "$1" "$lab_dir/h2-vm.heard"; }
wait_until 20 "gratuitous ARP" heard "ARP.*198.18.3.10"
wait_until 20 "an unsolicited neighbour advertisement" heard "fd00:3::10.*neighbor advertisement\|ICMP6, neighbor advertisement"
given=$(jq -r '[.timeline[] | select(.event == "GIVEN durable") | .time][0]' <<<"$document")
first=$(sort -n "$lab_dir"/h2-*.heard | head -n 1 | cut -d' ' -f1)
[ "$(date -d "$given" +%s%3N)" -le $((${first/./} / 1000)) ] || fail "heard from h2 at $first, given away at $given"
say "given $given, first frame from h2 $(date -u -d "@$first" +%H:%M:%S.%3N), $(cat "$lab_dir"/h2-*.heard | wc -l) frames"

say "what it has on h2"
looks_right
wait_until 10 "the balloon's size" has_balloon 128
[ "$(kept_mib h2)" -le 132 ] || fail "what the guest gave back came back: $(kept_mib h2) MiB"
godwit vm balloon web 256
wait_until 60 "the guest to have all again" has_balloon 256
works() { guest_says work | jq -e '.bad == 0 and .sweeps > 1' >/dev/null; }
wait_until 60 "memory that is right" works
was_reset() { [ "$(guest_says count 2>/dev/null | jq -r .boot_id)" != "$boot" ] && guest_says count >/dev/null; }
wait_until 90 "the watchdog to reset the guest" was_reset
godwit vm balloon web 160
godwit vm migrate web --to h1 >/dev/null || fail "the move while the balloon grows"
wait_until 60 "the balloon on h1" has_balloon 160
works_again() { guest_says work | jq -e '.bad == 0' >/dev/null; }
wait_until 20 "memory that is right" works_again
godwit vm stop web --force
expect_error vm-not-running godwit vm balloon web 128
