# shellcheck shell=bash disable=SC2034
# SPDX-License-Identifier: Apache-2.0
# Somebody reads the VM's console while it moves.
ends=moved
hold=copy
inject() {
    godwit vm console vm >"$lab_dir/console" 2>&1 &
    reader=$!
    wait_until 10 "the console" test -s "$lab_dir/console"
}
witness() { [ -n "${reader:-}" ] && grep -q 'CHK' "$lab_dir/console"; }
heal() {
    [ -z "${reader:-}" ] || kill "$reader" 2>/dev/null || true # it may have ended with the VM's first host
    reader=
}
