# shellcheck shell=bash disable=SC2034
# SPDX-License-Identifier: Apache-2.0
# The manager knows the destination by a name that nobody knows any more when it connects anew.
finds=('error|host-disconnected|destination check|destination')
ends='host-disconnected|destination check|destination'
words='does not answer; .*Error resolving .h2.godwit.test'
prepare() { h2_is_at h2.godwit.test; }
inject() {
    lose_name h2.godwit.test
    manager_anew
}
heal() {
    names_back
    wait_until 30 "all hosts" all_connected
}
tidy() { h2_is_at 198.18.1.12; }
h2_is_at() {
    godwit host rm h2 >/dev/null
    godwit host adopt h2 --address "$1" >/dev/null
    wait_until 30 "host h2" host_is_connected h2
}
