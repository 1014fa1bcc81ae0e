# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# The lab that the rows share: three hosts, a VM on h1 that goes to h2, and what rows change there. Sourced by tests/troubleshooting/run.

all_connected() { [ "$(godwit host ls --json | jq '[.hosts[]? | select(.state == "connected")] | length')" = 3 ]; }
# Each host leaves a file of its own in a datastore when it first looks at it.
have_looked_at_datastore() { [ "$(find "$lab_dir/datastore" -name '.godwit-probe-h?' | wc -l)" = 3 ]; }
one_lab_up() {
    firmware=/run/gwt-$$-firmware small=/run/gwt-$$-small names=/run/gwt-$$-names lesser=/run/gwt-$$-lesser
    on_exit "rm -rf $firmware $names $lesser /run/gwt-$$-qemu10; rmdir $small"
    mkdir "$firmware" "$small"
    # A datastore that is soon full, and names that can be lost, on all hosts.
    mount -t tmpfs -o size=48M,mode=755 none "$small"
    on_exit "umount $small"
    printf '127.0.0.1 localhost %s\n198.18.1.1 manager.godwit.test\n198.18.1.12 h2.godwit.test\n' "$(hostname)" >"$names"
    mount --bind "$names" /etc/hosts
    on_exit "umount /etc/hosts"
    on_exit 'ip netns del "$lab_name-router" 2>/dev/null || true'
    on_exit end_lab
    begin_lab
}
begin_lab() {
    cp /usr/share/seabios/bios-256k.bin "$firmware"
    godwit lab up --name "$lab_name" --hosts 3 --qemu-data "h2=$firmware" >/dev/null
    token=$(sed -n 's/^token=//p' "$lab_dir/cli.conf")
    heard=0
    # Hosts that do not answer are given up soon.
    printf '\n[deadlines]\ndestination_check_s=5\nsource_check_s=8\ndestination_shell_s=8\ncopy_stalled_s=8\n' >>"$lab_dir/manager/manager.conf"
    sed -i 's/^addresses=.*/&;manager.godwit.test/' "$lab_dir/manager/manager.conf"
    godwit lab service stop manager
    agent_off h2
    furnish
    godwit lab service start h2
    godwit lab service start manager
    wait_until 60 "all hosts" all_connected
    wait_until 60 "all hosts to have looked at the datastore" have_looked_at_datastore
    godwit pool create small --memory-limit 1000 >/dev/null
    godwit pool create gone >/dev/null
    disk=$lab_dir/datastore/vm.qcow2
    disk_image base 8M >/dev/null
    (cd "$lab_dir/datastore" && qemu-img create -q -f qcow2 -b base.qcow2 -F qcow2 vm.qcow2 && chown 64101:64101 vm.qcow2)
    cp --preserve=all "$disk" "$lab_dir/datastore/copy.qcow2"
    cp "$checker" "$lab_dir/datastore/kernel"
    chmod 644 "$lab_dir/datastore/kernel"
    godwit vm create vm --host h1 --memory 128 --cpus 1 --cpu-reservation 50 --accel tcg --network vmnet --disk shared:vm.qcow2 --kernel "$lab_dir/datastore/kernel" \
        --append "vcpus=1 mb=16 sweep_ms=500 rate=2 mode=page" --start >/dev/null
    wait_until 60 "the guest to be filled and to report" checker_reports vm
}
# h2 has a clock that can be set, mounts of its own, and a small disk for its state: no row needs a restart of its agent for them.
furnish() {
    local state=$lab_dir/hosts/h2/state
    echo 0 >"$lab_dir/clock-h2"
    sed -i "s|^argv=|argv=unshare;--mount;--propagation;slave;env;LD_PRELOAD=$build/tests/tools/clock-jump.so;CLOCK_JUMP_FILE=$lab_dir/clock-h2;|" "$lab_dir/services/h2.service"
    mkdir "$lab_dir/state-h2"
    cp -a "$state/." "$lab_dir/state-h2"
    mount -t tmpfs -o size=40M,mode=700 none "$state"
    cp -a "$lab_dir/state-h2/." "$state"
}
agent_off() {
    godwit lab service stop "$1"
    wait_until 20 "the end of the agent of $1" has_no_agent "$1"
}
end_lab() {
    ! mountpoint -q "$lab_dir/hosts/h2/state" || umount -l "$lab_dir/hosts/h2/state"
    lab_end
}
fresh_lab() {
    end_lab
    rm -f "$small"/*
    begin_lab
}

# What a move that failed must leave as it was.
vm_now() { godwit vm show "$vm" --json | jq -c '[.state, .host, .pid, .spec, .move, .conflict]'; }
vm_epoch() { godwit vm show "$vm" --json | jq .epoch; }
goes_on() { wait_until 30 "the guest to go on" goes_on_from "$(checker_field "$vm" total)"; }
goes_on_from() { [ "$(checker_field "$vm" total)" -gt "$1" ]; }
# And a row: links, addresses, routes, packet filters, processes and files. Ports of VMs have a new name in each life.
left_now() {
    local node pid
    for node in h1 h2 h3 sw; do
        echo "== $node"
        # It knows no names for the namespaces at the other ends.
        ip -n "$lab_name-$node" -o link 2>/dev/null | sed -e 's/^[0-9]*: //; s/ state .*//; s/@.*: /: /' -e '/^vm/s/.*/a port of a VM/' | sort
        ip -n "$lab_name-$node" -br -4 address | awk '$3 != "" {print $1, $3, $4}'
        ip -n "$lab_name-$node" route
        ip netns exec "$lab_name-$node" nft list ruleset
        [ "$node" != sw ] || continue
        for pid in $(ip netns pids "$lab_name-$node"); do
            cat "/proc/$pid/comm" 2>/dev/null || true # it may just have ended
        done | grep -E '^(godwit|qemu)' | sort
        cat "$lab_dir/hosts/$node/agent.conf"
        find "$lab_dir/hosts/$node/state" -name '*.tmp*' -o -name '*lease*' -o -name filler
    done
    find "$lab_dir/datastore" "$small" -type f -printf '%f %m %s\n' | sort
    cat "$names"
    godwit vm ls --json | jq -r '.vms[] | "\(.spec.name) \(.state) on \(.host)"'
}

# setting HOST SED-COMMAND…: a change of the agent's configuration, with a restart; settings_back takes it back
setting() {
    local host=$1 conf=$lab_dir/hosts/$1/agent.conf
    shift
    cp "$conf" "$lab_dir/agent.conf.before"
    agent_restart "$host" sed -i "$@" "$conf"
}
settings_back() { [ ! -e "$lab_dir/agent.conf.before" ] || agent_restart "$1" mv "$lab_dir/agent.conf.before" "$lab_dir/hosts/$1/agent.conf"; }
lesser_h3() {
    mkdir -p "$lesser"
    cp "$build/tests/tools/lesser-cpu" "$lesser/qemu-system-x86_64"
    ln -sf /usr/bin/qemu-system-x86_64 "$lesser/qemu-system-x86_64.real"
    setting h3 "s|^\[agent\]|&\nqemu=$lesser/qemu-system-x86_64|"
}
cont_stopped() {
    local pid
    for pid in "${paused[@]}" "${stopped[@]}"; do
        kill -CONT "$pid" 2>/dev/null || true # it may have been ended
    done
    paused=() stopped=()
}
# stop_program NODE PROGRAM: it stands still until cont_stopped
stop_program() {
    local pid
    for pid in $(pids_in "$1" "$2"); do
        kill -STOP "$pid"
        paused+=("$pid")
    done
    [ ${#paused[@]} -gt 0 ] || fail "no $2 on $1"
}
kill_program() {
    local pids
    mapfile -t pids < <(pids_in "$1" "$2")
    [ ${#pids[@]} -gt 0 ] || fail "no $2 on $1"
    kill -KILL "${pids[@]}"
}
# in_h2 COMMAND…: with the mounts of its agent; on_h2: and in its network
in_h2() { nsenter --target "$(one_of h2 godwit-agent)" --mount "$@"; }
on_h2() { nsenter --target "$(one_of h2 godwit-agent)" --mount --net "$@"; }
# A VM that takes room on h2.
other_on_h2() {
    godwit vm create other --host h2 --accel tcg --kernel "$checker" --append "vcpus=1 mb=4 rate=1 mode=page" "$@" --start >/dev/null
}
no_other() {
    godwit vm stop other --force >/dev/null
    godwit vm rm other >/dev/null
}
# guest HOST APPEND OPTION…: a VM of the row's own, named by `vm`, whose memory is filled; no_guest takes it away.
guest() {
    local host=$1 append=$2
    shift 2
    godwit vm create "$vm" --host "$host" --memory 64 --cpus 1 --accel tcg --kernel "$checker" --append "vcpus=1 sweep_ms=500 mode=page $append" "$@" --start >/dev/null
    wait_until 60 "the guest $vm to be filled and to report" checker_reports "$vm"
}
no_guest() {
    godwit vm stop "$vm" --force >/dev/null
    godwit vm rm "$vm" >/dev/null
}
# lose_name NAME: nobody in the lab knows it any more. The file stays the same one, which is mounted everywhere.
lose_name() {
    cp "$names" "$lab_dir/names.before"
    sed "/ $1\$/d" "$lab_dir/names.before" >"$names"
}
names_back() { [ ! -e "$lab_dir/names.before" ] || { cat "$lab_dir/names.before" >"$names" && rm "$lab_dir/names.before"; }; }
# memory_group MIB [swaps]: a control group with that much memory, named by `group`, which uses no swap (another lane's) unless it is told to; enter_group
# COMMAND…: runs there
memory_group() {
    local limit=memory.max no_swap=memory.swap.max
    group=/sys/fs/cgroup/$lab_name-memory
    [ ! -d /sys/fs/cgroup/memory ] || group=/sys/fs/cgroup/memory/$lab_name-memory limit=memory.limit_in_bytes no_swap=memory.swappiness
    mkdir "$group"
    echo "$1M" >"$group/$limit"
    [ "${2:-}" = swaps ] || echo 0 >"$group/$no_swap"
}
enter_group() { GROUP=$group exec sh -c 'echo $$ >"$GROUP/cgroup.procs"; exec "$@"' sh "$@"; }
no_memory_group() { [ ! -d "${group:-/nowhere}" ] || wait_until 20 "the end of what is in the group" rmdir "$group"; }
manager_anew() {
    godwit lab service stop manager
    godwit lab service start manager
    wait_until 30 "host h1" host_is_connected h1
}
