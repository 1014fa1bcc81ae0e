# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# Two virtual machines with Debian's own kernel and systemd as hosts. Source it with the build folder as first argument of the test:
#   . "$(dirname "$0")/functions.sh" "$1"
# All that a test starts lives in one network namespace and one folder, and goes with the test.
. "$(dirname "${BASH_SOURCE[0]}")/../functions.sh" "$1"
lane_name=gwh$$
lane_dir=/run/gwh-$$
image=$build/hosts
declare -A host_pid=()
# The hosts are emulated, and a guest in them twice over: limits of time bound a hang, they promise no speed.
slowness=10
# Where the guest lies in each host.
checker=/srv/godwit/checker.elf

# Cleaning up -------------------------------------------------------------------------------------------------------------------------------
lane_end() {
    local name
    # Not after Ctrl-C: it would make the clean-up wait for hosts.
    if [ "${status:-0}" != 0 ] && [ "${status:-0}" != 130 ]; then
        lane_evidence
    fi
    for name in "${!host_pid[@]}"; do
        kill -KILL "${host_pid[$name]}" 2>/dev/null || true
        wait "${host_pid[$name]}" 2>/dev/null || true
    done
    ip netns del "$lane_name" 2>/dev/null || true
    rm -rf "$lane_dir"
}
# What the hosts said; only those that still answer.
lane_evidence() {
    local name
    for name in "${!host_pid[@]}"; do
        echo "== $name: end of its console"
        tail -n 15 "$lane_dir/$name.console" || true
        echo "== $name: journal of our services"
        timeout 60 "$tests/hosts/enter" "$lane_dir" "$name" 'journalctl -q --no-pager -n 80 -u "godwit*"; ls -d /run/godwit/vms/*' </dev/null || true
    done
}

# The machines ------------------------------------------------------------------------------------------------------------------------------
# lane_up: the networks; the hosts are started one by one.
lane_up() {
    local network
    [ "$(id -u)" = 0 ] || skip "making network namespaces needs root"
    on_exit lane_end
    mkdir -m 700 "$lane_dir"
    echo "$lane_name" >"$lane_dir/namespace"
    ip netns add "$lane_name"
    ip -n "$lane_name" link set lo up
    for network in mgmt migr vmport; do
        ip -n "$lane_name" link add "$network" type bridge
        ip -n "$lane_name" link set "$network" up
    done
    # Where the tests look from: a machine of each network that is no host.
    ip -n "$lane_name" addr add 198.18.1.254/24 dev mgmt
    ip -n "$lane_name" addr add 198.18.3.254/24 dev vmport
}

# host_start NAME NUMBER [QEMU OPTION…]: boots the host, with a disk of its own above the image
host_start() {
    local name=$1 number=$2 network slot=3 nics=()
    shift 2
    for network in mgmt migr vmport; do
        ip -n "$lane_name" tuntap add "$network$number" mode tap
        ip -n "$lane_name" link set "$network$number" master "$network" up
        nics+=(-netdev "tap,id=$network,ifname=$network$number,script=no,downscript=no"
            -device "virtio-net-pci,netdev=$network,addr=0$slot.0,romfile=,mac=52:54:00:12:0$slot:0$number")
        slot=$((slot + 1))
    done
    qemu-img create -q -f qcow2 -b "$image/root.img" -F raw "$lane_dir/$name.qcow2"
    echo $((7000 + number)) >"$lane_dir/$name.port"
    ip netns exec "$lane_name" qemu-system-x86_64 -name "$name" -machine q35 -accel tcg,thread=multi,tb-size=256 -cpu qemu64 -smp 2 -m 1024 \
        -nodefaults -no-user-config -display none \
        -kernel "$image/vmlinuz" -initrd "$image/initrd" -append "console=ttyS0 quiet root=/dev/vda net.ifnames=1 mitigations=off panic=-1" \
        -drive "file=$lane_dir/$name.qcow2,if=none,id=disk,cache=unsafe" -device virtio-blk-pci,drive=disk,addr=06.0 \
        -device virtio-rng-pci,addr=07.0 \
        -netdev "user,id=control,restrict=on,hostfwd=tcp:127.0.0.1:$((7000 + number))-10.0.2.15:7" \
        -device virtio-net-pci,netdev=control,addr=02.0,romfile= "${nics[@]}" \
        -chardev "socket,id=console,path=$lane_dir/$name.sock,server=on,wait=off,logfile=$lane_dir/$name.console" -serial chardev:console \
        "$@" >"$lane_dir/$name.log" 2>&1 </dev/null &
    host_pid[$name]=$!
}
host_answers() { on "$1" true 2>/dev/null; }
host_runs() { kill -0 "${host_pid[$1]}" 2>/dev/null || fail "QEMU of the host $1 ended: $(cat "$lane_dir/$1.log")"; }
host_is_up() { host_runs "$1" && host_answers "$1"; }
# host_wait NAME: until it takes commands
host_wait() {
    wait_until 60 "the host $1 to boot" host_is_up "$1"
    say "$1 is up after $SECONDS s: kernel $(on "$1" 'uname -r'), $(on "$1" 'systemctl --version | head -n 1')"
}
boot_id() { on "$1" 'cat /proc/sys/kernel/random/boot_id'; }
booted_again() {
    local now
    now=$(boot_id "$1" 2>/dev/null) && [ "$now" != "$2" ]
}
# host_reboot NAME: an orderly one, as an operator would
host_reboot() {
    local before
    before=$(boot_id "$1")
    on "$1" 'systemd-run -q systemctl reboot'
    wait_until 60 "the host $1 to boot again" booted_again "$1" "$before"
}

# on NAME SCRIPT: runs the script as root in a host. Its input is the caller's only with `into`, else a loop's input would be eaten.
on() { "$tests/hosts/enter" "$lane_dir" "$1" "$2" </dev/null; }
into() { "$tests/hosts/enter" "$lane_dir" "$1" "$2"; }

# Godwit in the hosts -----------------------------------------------------------------------------------------------------------------------
# host_network NAME NUMBER: what the administrator of a machine sets up before: name, addresses, a bridge for the VMs
host_network() {
    on "$1" "set -e
        echo $1 >/etc/hostname; hostname $1
        cd /etc/systemd/network
        printf '[Match]\nName=mgmt\n[Network]\nAddress=198.18.1.1$2/24\n' >20-mgmt.network
        printf '[Match]\nName=migr\n[Network]\nAddress=198.18.2.1$2/24\n' >20-migr.network
        printf '[NetDev]\nName=br-vm\nKind=bridge\n' >20-br-vm.netdev
        printf '[Match]\nName=br-vm\n[Network]\nAddress=198.18.3.1$2/24\nConfigureWithoutCarrier=yes\n' >20-br-vm.network
        printf '[Match]\nName=vmport\n[Network]\nBridge=br-vm\n' >20-vmport.network
        systemctl restart systemd-networkd"
    wait_until 60 "the networks of $1" on "$1" "ip -br addr show mgmt | grep -q 198.18.1.1$2 && ip -br addr show migr | grep -q 198.18.2.1$2 &&
        ip -br addr show br-vm | grep -q 198.18.3.1$2"
}

# godwit …: the command line, as the administrator uses it on the manager. The tests' helpers for labs (vm_host, checker_vm …) call it too.
godwit() { on h1 "godwit $(printf '%q ' "$@")"; }

# installation_make: what the README's "Another way to bring it to a host" copies
installation_make() {
    make -s -C "$tests/.." install DESTDIR="$lane_dir/installation" BUILD="$build"
}
install_on() {
    tar -C "$lane_dir/installation" -c usr etc | into "$1" 'tar -x -C / && systemd-sysusers && systemctl daemon-reload && udevadm control --reload'
    into "$1" 'mkdir -p /srv/godwit && cat >/srv/godwit/checker.elf' <"$build/tests/guests/checker/checker.elf"
}
# upgrade_on NAME: the programs again, with everything running; the administrator's files in /etc stay
upgrade_on() {
    tar -C "$lane_dir/installation" -c usr | into "$1" 'tar -x -C / && systemctl daemon-reload && systemctl try-restart godwit-agent godwitd'
}

manager_set_up() {
    on h1 "set -e
        sed -i 's/^#listen=.*/listen=198.18.1.11/' /etc/godwit/manager.conf
        systemctl enable -q --now godwitd
        install -m 0600 /dev/null /etc/godwit/cli.conf
        printf '[manager]\nserver=unix:/run/godwit-manager/godwitd.sock\ntoken=%s\n' \"\$(godwitd token)\" >/etc/godwit/cli.conf"
}
# agent_set_up NAME NUMBER
agent_set_up() {
    local token
    token=$(godwit host add "$1" --address "198.18.1.1$2" --json | jq -r .token)
    on "$1" "set -e
        sed -i -e 's/^#name=.*/name=$1/' -e 's/^#enabled=.*/enabled=true/' -e 's/^#addresses=.*/addresses=198.18.2.1$2/' /etc/godwit/agent.conf
        printf '\n[network lan]\nbridge=br-vm\n' >>/etc/godwit/agent.conf
        godwit-agent enroll --manager https://198.18.1.11:8400 --token $token >&2
        systemctl enable -q --now godwit-agent"
}
# on_both FUNCTION: with name and number of each host, side by side
on_both() {
    local first
    "$1" h1 1 &
    first=$!
    "$1" h2 2
    wait $first
}
host_prepare() {
    host_network "$1" "$2"
    install_on "$1"
}
host_is_connected() { godwit host show "$1" --json | jq -e '.state == "connected" and .facts != null' >/dev/null; }

# cluster_up: two hosts from nothing to connected, by the README's steps. h1 is the manager too, as there. The clock of h2 is seven minutes ahead.
# In two halves, between which a test starts what else is to boot beside them.
cluster_up() {
    cluster_start
    cluster_install
}
cluster_start() {
    lane_up
    host_start h1 1
    host_start h2 2 -rtc "base=$(date -u -d '+7 minutes' +%Y-%m-%dT%H:%M:%S)"
}
cluster_install() {
    installation_make
    host_wait h1
    host_wait h2
    on_both host_prepare
    say "installed after $SECONDS s"
    manager_set_up
    on_both agent_set_up
    wait_until 60 "h1 to be connected" host_is_connected h1
    wait_until 60 "h2 to be connected" host_is_connected h2
    say "two hosts are connected after $SECONDS s"
    godwit host ls
}

# guest_up NAME HOST: the self-checking guest, at work. Emulated twice over it is slow: little memory, few pages each second.
guest_up() { checker_vm "$1" "$2" 64 1 tcg "mb=8 rate=1 hz=50 interval_ms=500"; }
guest_pid() { godwit vm show "$1" --json | jq .pid; }
guest_runs() { [ "$(vm_state "$1")" = running ]; }
# qemus HOST: the QEMU processes of Godwit's user
qemus() { on "$1" 'pgrep -u godwit-qemu -f qemu-system || true'; }
# guest_is_only_on HOST: exactly one QEMU of ours, and it is there
guest_is_only_on() {
    local other
    other=$([ "$1" = h1 ] && echo h2 || echo h1)
    [ "$(qemus "$1" | wc -l)" = 1 ] || fail "$1 has these QEMUs: $(qemus "$1")"
    [ -z "$(qemus "$other")" ] || fail "$other still has QEMUs: $(qemus "$other")"
}

# move NAME TO [OPTION…]: moves the guest and checks what the task says
move() {
    local name=$1 to=$2 task
    shift 2
    task=$(migrate "$name" "$to" "$@") || fail "the move to $to: $(jq -c .error <<<"$task")"
    jq -e --arg to "$to" '.state == "success" and .destination == $to and .dirty_source == "sync"' <<<"$task" >/dev/null || fail "the task says: $task"
    [ "$(vm_host "$name")" = "$to" ] || fail "the manager shows $name on $(vm_host "$name")"
    say "to $to: $(jq -r '"\(.duration_ms) ms, downtime \(.downtime_ms) ms, stun \(.stun_us) us, \(.rounds | length) rounds, \(.bytes_on_wire) bytes"' <<<"$task")"
}
