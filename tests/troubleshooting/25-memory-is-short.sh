# shellcheck shell=bash disable=SC2034
# SPDX-License-Identifier: Apache-2.0
# The destination has promised almost all of its memory to another VM.
finds=('error|memory-short|destination check|destination')
ends='memory-short|destination check|destination'
words='[0-9]+ MiB short'
inject() {
    local free overhead
    # The manager may still count the VM that has just left.
    wait_until 30 "host h2 to be free" is_free
    free=$(godwit host show h2 --json | jq .facts.memory_free_mib)
    # What its QEMU needs grows with its memory.
    overhead=$(godwit vm create other --host h2 --memory $((free / 2 * 2)) --cpus 1 --accel tcg --kernel "$checker" --append "vcpus=1 mb=4 rate=1 mode=page" --json | jq .overhead_mib)
    godwit vm set other --memory $(((free - overhead - 50) / 2 * 2)) >/dev/null
    godwit vm start other >/dev/null
}
is_free() { [ "$(godwit host show h2 --json | jq .facts.memory_used_mib)" = 0 ]; }
heal() { no_other; }
