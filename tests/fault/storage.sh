# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# Bad disks under the journals of a host or the manager's database, and the VM's own disk. Sourced by tests/fault/run; aim sets node and how.
state_of() { if [ "$1" = mgr ]; then echo "$lab_dir/manager/state"; else echo "$lab_dir/hosts/$1/state"; fi; }
service_of() { if [ "$1" = mgr ]; then echo manager; else echo "$1"; fi; }
daemon_of() { if [ "$1" = mgr ]; then echo godwitd; else echo godwit-agent; fi; }
has_no_daemon() { [ -z "$(pids_in "$1" "$(daemon_of "$1")")" ]; }
daemon_off() {
    godwit lab service stop "$(service_of "$1")"
    wait_until 20 "the end of $(daemon_of "$1") on $1" has_no_daemon "$1"
}
daemon_on() {
    godwit lab service start "$(service_of "$1")"
    wait_until 30 "$(daemon_of "$1") on $1" listens "$1"
    wait_until 30 "both hosts to be connected" both_connected
}
listens() { [ -n "$(ip netns exec "$lab_name-$1" ss -tlnH 'sport = :8400 or sport = :8443')" ]; }

# A small file system of its own for what is in a state folder. Its daemon is off: it sees only what was mounted before it started.
new_disk() {
    local state disk
    state=$(state_of "$1") disk=$(mktemp "$lab_dir/disk.XXXXXX")
    truncate -s 24M "$disk"
    mkfs.ext4 -q -m 0 "$disk"
    mkdir -p "$lab_dir/disk"
    mount -o loop "$disk" "$lab_dir/disk"
    cp -a "$state/." "$lab_dir/disk"
    umount "$lab_dir/disk"
    take_disk "$1"
    mount -o loop "$disk" "$state"
}
# Kept for later rows.
need_disk() {
    ! mountpoint -q "$(state_of "$1")" || return 0
    daemon_off "$1"
    new_disk "$1"
    daemon_on "$1"
}
take_disk() { ! mountpoint -q "$(state_of "$1")" || umount -l "$(state_of "$1")"; }
take_disks() {
    take_disk h1
    take_disk h2
    take_disk mgr
}

prepare_disk-full() { need_disk "$node"; }
strike_disk-full() {
    local file size
    file=$(state_of "$node")/filler
    for size in 64k 1k; do
        dd if=/dev/zero of="$file-$size" bs=$size conv=fsync 2>/dev/null || true
    done
}
relent_disk-full() { rm -f "$(state_of "$node")"/filler-*; }

# As ext4 does it itself after an error that it cannot bear. An operator then gives the daemon a new disk with what can still be read.
prepare_disk-read-only() { need_disk "$node"; }
strike_disk-read-only() { mount -o remount,abort "$(state_of "$node")"; }
# In a copy it is found before the guest is stopped for it.
check_disk-read-only() {
    [ "${phase:-}" != copy ] || task_json | jq -e '.error | .phase == "copy" and .id == "write-failed"' >/dev/null || fail "it was not found in the copy: $(task_json | jq -c .error)"
}
relent_disk-read-only() {
    daemon_off "$node"
    new_disk "$node"
    daemon_on "$node"
}

# slow_down CALLS: each of these system calls takes the daemon so long more.
slow_down() {
    local pid
    pid=$(one_of "$node" "$(daemon_of "$node")")
    godwit lab exec "$node" -- strace -f -qq -o /dev/null -e "trace=$1" -e "inject=$1:delay_exit=${how%ms}000" -p "$pid" &
    slowing=$!
    wait_until 10 "the daemon to be slowed down" is_traced "$pid"
}
# What makes something durable.
strike_disk-slow() { slow_down fsync,fdatasync; }
is_traced() { ! grep -q '^TracerPid:.0$' "/proc/$1/status"; }
relent_disk-slow() {
    kill "$slowing" 2>/dev/null || true
    wait "$slowing" 2>/dev/null || true
}

# What removes a file. Its host alone knows how long the guest stood, and has to say so all the same.
strike_image-slow() { slow_down unlink,unlinkat; }
relent_image-slow() { relent_disk-slow; }
check_image-slow() { task_json | jq -e '.downtime_ms > 0' >/dev/null || fail "how long the guest stood is not known: $(task_json | jq -c .downtime_ms,.timeline)"; }

# Somebody else has opened the VM's disk, which stands between two owners.
strike_image-lock() { qemu-nbd --fork --persistent --format qcow2 --socket "$lab_dir/image-lock.sock" --pid-file "$lab_dir/image-lock.pid" "$vm_disk"; }
relent_image-lock() {
    local pid
    pid=$(cat "$lab_dir/image-lock.pid")
    kill "$pid"
    wait_until 10 "the end of the disk's other user" are_dead "$pid"
}
check_image-lock() { error_names lock; }
