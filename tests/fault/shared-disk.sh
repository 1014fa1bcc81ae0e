# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# The guest of the fault table: it checks its memory, and its disk is on storage that both hosts have. Sourced by tests/fault/run, as moving-disks.sh is instead.
always=() rows=$tests/fault/rows

vm_up() {
    vm_disk=$(disk_image vm 8M)
    godwit vm create vm --host h1 --memory 128 --cpus 1 --accel tcg --network vmnet --disk "$vm_disk" --kernel "$checker" \
        --append "vcpus=1 mb=24 sweep_ms=500 rate=2 mode=page" --start >/dev/null
    wait_until 60 "the guest to be filled and to report" checker_reports vm
}
vm_is_whole() { checker_is_whole vm; }
# Its log goes on behind that of its last life.
start_again() {
    local lives
    lives=$(godwit vm console vm --log | grep -c '^CHK filled' || true)
    godwit vm start vm >/dev/null
    wait_until 60 "a report of the new life" reports_after "$lives"
}
reports_after() {
    godwit vm console vm --log | awk -v lives="$1" '/^CHK filled/ {n++; seen = 0} /^CHK t_ms=.* cpu0=[0-9]/ {seen = 1} END {exit !(n > lives && seen)}'
}

# QEMU itself holds its locks on what it may write to.
image_is_locked() { if qemu-img info "$vm_disk" >/dev/null 2>&1; then echo 0; else echo 1; fi; }
disks_begin() { :; }
disks_unwatch() { :; }
disks_left() {
    [ "$(image_is_locked)" = "$([ "$1" = running ] && echo 1 || echo 0)" ] || echo "the lock of the image: $(qemu-img info "$vm_disk" 2>&1 | tail -n 1)"
}
disks_kept() { :; }
disks_end() { :; }
