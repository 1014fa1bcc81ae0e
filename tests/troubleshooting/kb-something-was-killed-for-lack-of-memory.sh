# shellcheck shell=bash disable=SC2034
# SPDX-License-Identifier: Apache-2.0
# The kernel kills a program for lack of memory. It counts that until the next boot.
examined=('warning|oom')
cure='killed process'
lasts=yes
prepare() { words="^$(($(killed) + 1)) processes were killed for lack of memory"; }
killed() { sed -n 's/^oom_kill //p' /proc/vmstat; }
inject() {
    memory_group 16
    (enter_group python3 -c 'bytearray(256 << 20)') && fail "it had the memory"
    true
}
heal() { no_memory_group; }
