# shellcheck shell=bash disable=SC2034
# SPDX-License-Identifier: Apache-2.0
# The destination has promised almost all of its memory to another VM.
finds=('error|memory-short|destination check|destination')
ends='memory-short|destination check|destination'
words='[0-9]+ MiB short'
inject() {
    # The manager may still count the VM that has just left.
    wait_until 30 "host h2 to be free" is_free
    other_on_h2 --cpus 1 --memory $((($(godwit host show h2 --json | jq .facts.memory_free_mib) - 100) / 2 * 2))
}
is_free() { [ "$(godwit host show h2 --json | jq .facts.memory_used_mib)" = 0 ]; }
heal() { no_other; }
