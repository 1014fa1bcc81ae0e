# shellcheck shell=bash disable=SC2034
# SPDX-License-Identifier: Apache-2.0
# A host was enrolled by the name of its manager, which it does not know any more: moves go on, and its certificate could not be renewed.
examined=('problem|names' 'problem|enrolment')
words="the manager's name, manager.godwit.test, is not found; .*(hosts|name servers)"
cure='/etc/hosts.*resolv.conf'
prepare() { enrol_h2_at manager.godwit.test; }
inject() { lose_name manager.godwit.test; }
heal() { names_back; }
tidy() { enrol_h2_at 198.18.1.1; }
enrol_h2_at() {
    local one_time
    one_time=$(godwit host enroll h2 --json | jq -r .token)
    on_h2 "$build/stage/usr/local/sbin/godwit-agent" enroll --config "$lab_dir/hosts/h2/agent.conf" --manager "https://$1:8400" --token - <<<"$one_time" >/dev/null
    wait_until 30 "host h2" host_is_connected h2
}
