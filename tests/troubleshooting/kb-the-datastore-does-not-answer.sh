# shellcheck shell=bash disable=SC2034
# SPDX-License-Identifier: Apache-2.0
# The server of the datastore took the destination's mount and answers nothing. The VM's kernel is there too.
finds=('error|datastore-stale|destination check|destination' 'error|boot-file-missing|destination check|destination')
ends='datastore-stale|destination check|destination'
words="datastore 'shared' does not answer on host 'h2'.*no answer for more than"
inject() {
    nsenter --target "$(one_of h2 godwit-agent)" --mount "$tests/tools/hung-mount" "$lab_dir/datastore" &
    hung=$!
}
heal() {
    kill "$hung"
    wait "$hung" || true
    in_h2 umount -l "$lab_dir/datastore"
}
