# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# The guest of `run --disks`: it checks its memory, and writes to a disk that moves along, each host having a datastore of its own. Sourced by tests/fault/run
# after all others: the phases that disks add, or change, are here.
. "$tests/local-datastores.sh"
always=(--datastore local) rows=$tests/fault/rows-disks

vm_up() {
    local image
    local_datastores h1 h2
    image=$(local_image h1 vm qcow2 64M)
    qemu-io -f qcow2 -c "write -q -P 7 16M 32M" "$image"
    linux_vm vm h1 128 1 "gw.disk=4 gw.work=4:4" local:vm.qcow2 >/dev/null
    wait_until 30 "the guest's answers" disk_seq_is_above 0
}

# ---- what the guest says ----

disk_seq_is_above() { guest_says disk | jq -e --argjson seq "$1" '.seq > $seq' >/dev/null; }
has_swept() { guest_says work | jq -e --argjson sweeps "$1" '.sweeps >= $sweeps' >/dev/null; }
vm_is_whole() {
    local seq sweeps
    wait_until 30 "the guest's answers" guest_says work >/dev/null
    sweeps=$(guest_says work | jq .sweeps)
    seq=$(guest_says disk | jq .seq)
    wait_until 30 "the guest's disk to go on" disk_seq_is_above "$seq"
    wait_until 60 "one more sweep of the guest" has_swept $((sweeps + 2))
    guest_says disk | jq -e '.bad + .errors == 0' >/dev/null || fail "the guest's disk: $(guest_says disk)"
    guest_says work | jq -e '.bad == 0' >/dev/null || fail "the guest's memory: $(guest_says work)"
}
count_lives() { godwit vm console vm --log | grep -c '^GUEST ready' || true; }
is_ready_after() { [ "$(count_lives)" -gt "$1" ]; }
start_again() {
    local lives
    lives=$(count_lives)
    godwit vm start vm >/dev/null
    wait_until 60 "the guest's new life" is_ready_after "$lives"
}

# ---- images ----

images() { find "$lab_dir"/local-h? -name '*.qcow2'; }
# writers IMAGE: processes of both hosts that hold QEMU's lock of those who may write to it: its byte 101 (BLK_PERM_WRITE in QEMU's file-posix.c)
writers() {
    local inode pid host
    inode=$(stat -c %i "$1" 2>/dev/null) || return 0
    for host in h1 h2; do
        for pid in $(pids_in $host qemu-system-x86); do
            ! cat "/proc/$pid/fdinfo/"* 2>/dev/null | awk -v inode="$inode" '/^lock:/ {split($7, file, ":"); if (file[3] == inode && $8 <= 101 && $9 >= 101) found = 1} END {exit !found}' ||
                echo "$host/$pid"
        done
    done
}
# While a row runs: each image has one writer at most, at any time.
watch_writers() {
    local image
    while sleep 0.2; do
        for image in $(images); do
            [ "$(writers "$image" | wc -l)" -le 1 ] || echo "$image: $(writers "$image" | xargs)"
        done
    done
}
disks_begin() {
    acknowledged=$(guest_says disk | jq .seq)
    watch_writers >"$lab_dir/two-writers" 2>/dev/null &
    watching=$!
}
disks_unwatch() { [ -z "${watching:-}" ] || kill "$watching" 2>/dev/null || true; }
disks_left() {
    local owner image all
    owner=$(vm_host vm) all=$(images)
    image=$(datastore_of "$owner")/vm.qcow2
    [ "$all" = "$image" ] || echo "images: $(xargs <<<"$all") instead of $image"
    all=$(find "$lab_dir/hosts" -name '*.images')
    [ -z "$all" ] || echo "records of images: $all"
    all=$(writers "$image" | xargs)
    case $1 in
    running) [[ $all =~ ^$owner/[0-9]+$ ]] || echo "$image is written to by '$all'" ;;
    *) qemu-img info "$image" >/dev/null 2>&1 || echo "the lock of $image: $(qemu-img info "$image" 2>&1 | tail -n 1)" ;;
    esac
}
# disks_kept STATE: what the guest was told to be on its disk is there, and no image had two writers
disks_kept() {
    local image slot found
    [ ! -s "$lab_dir/two-writers" ] || fail "two writers: $(head -n 3 "$lab_dir/two-writers")"
    image=$(datastore_of "$(vm_host vm)")/vm.qcow2
    if [ "$1" = running ]; then
        say "$image: writer $(writers "$image")"
        wait_until 30 "the guest's disk to go on" disk_seq_is_above "$acknowledged"
        return
    fi
    qemu-img check -q "$image" || fail "$image is damaged"
    # diskd: record N is in slot N % 1024 of 4 KiB, and begins with its number; a later one may have taken its place.
    slot=$((acknowledged % 1024 * 4096))
    found=$(qemu-io -r -f qcow2 -c "read -v $slot 8" "$image" | awk 'NR == 1 {for (i = 9; i > 1; i--) printf "%s", $i}')
    [ $((16#$found)) -ge "$acknowledged" ] || fail "record $acknowledged of the guest's disk is lost: its slot has $((16#$found))"
}
disks_end() {
    local image
    image=$(datastore_of "$(vm_host vm)")/vm.qcow2
    godwit vm stop vm --force >/dev/null
    qemu-img check -q "$image" || fail "$image is damaged"
    qemu-io -f qcow2 -r -c "read -q -P 7 16M 32M" "$image" || fail "what nobody wrote to has changed in $image"
    nothing_is_left
}

# ---- troubles ----

# A disk's connection that breaks ends its copy, and so the move: it does not wait for new ones. While the guest stands nobody waits for a better reason.
check_migration-link() {
    case $phase/$how in given/*) ;; */8s | */20s) broke ;; esac
}
check_reset() { broke; }
broke() { failed_with '^(peer-lost|connection-lost|resume-limit|switchover-limit|disk-copy-failed)$'; }

# ---- phases ----

is_copying_disk() { task_json | jq -e '.phase == "copy" and (.disks // [] | length == 1 and .[0].bytes_done > 0 and (.[0].ready | not))' >/dev/null; }
is_copying() { task_json | jq -e '.phase == "copy" and (.disks // [] | length == 1 and .[0].ready)' >/dev/null; }
# Its QEMU is what the copy of the disk waits for.
hold_disk-copy() {
    begin --bandwidth 20
    wait_until 20 "the copy of the disk" is_copying_disk
    stop "$to" qemu-system-x86
    is_copying_disk || fail "the disk was copied before it could be held"
}
hold_copy() {
    begin --bandwidth 20
    wait_until 20 "the copy of the memory" is_copying
}
# The guest stands, and what it wrote last does not arrive.
hold_disk-end() {
    hold_copy
    stop "$to" qemu-system-x86
    reach "switch-over"
}
# The destination's QEMU takes the rest of the disk; it loads at its agent's word.
loader=godwit-agent
hold_switch-over() {
    hold_copy
    stop "$to" $loader
    reach "switch-over"
    wait_until 20 "the device state to arrive" state_has_arrived
}
