# shellcheck shell=bash disable=SC2034
# SPDX-License-Identifier: Apache-2.0
# The disk that holds the destination's state is full.
finds=('error|state-space-short|destination check|destination')
ends='state-space-short|destination check|destination'
words='state of the agent on host .h2. has 0 MiB free, [0-9]+ are needed'
inject() {
    dd if=/dev/zero of="$lab_dir/hosts/h2/state/filler" bs=4k 2>/dev/null || true
    [ -s "$lab_dir/hosts/h2/state/filler" ]
}
heal() { rm -f "$lab_dir/hosts/h2/state/filler"; }
