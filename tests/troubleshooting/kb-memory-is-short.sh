# shellcheck shell=bash disable=SC2034
# SPDX-License-Identifier: Apache-2.0
# Programs use more memory than they may have, and it goes to the swap and comes back.
examined=('warning|pressure' 'warning|swap')
words='somebody waited for memory'
cure='move VMs to another host'
inject() {
    swap=$build/$lab_name-swap
    head -c 320M /dev/zero >"$swap"
    chmod 600 "$swap"
    mkswap -q "$swap"
    swapon "$swap"
    memory_group 48 swaps
    enter_group timeout 120 python3 -c '
import mmap, os
for _ in range(3):
    if not os.fork():
        break
size = 64 << 20
memory = mmap.mmap(-1, size)
while True:
    for at in range(0, size, 4096):
        memory[at] = 1
' &
    hog=$!
}
heal() {
    [ -z "${hog:-}" ] || kill $hog 2>/dev/null || true # it may have ended
    kill $(cat "$group/cgroup.procs") 2>/dev/null || true
    no_memory_group
    # What others have there comes back only where there is room for it.
    wait_until 60 "the end of the swap" swapoff "$swap"
    rm "$swap"
}
