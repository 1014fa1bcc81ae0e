# shellcheck shell=bash disable=SC2034
# SPDX-License-Identifier: Apache-2.0
# The disk that holds the destination's state is full.
ends='write-failed|destination shell|destination'
words='No space left on device'
inject() {
    dd if=/dev/zero of="$lab_dir/hosts/h2/state/filler" bs=4k 2>/dev/null || true
    [ -s "$lab_dir/hosts/h2/state/filler" ]
}
heal() { rm -f "$lab_dir/hosts/h2/state/filler"; }
