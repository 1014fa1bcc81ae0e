# shellcheck shell=bash disable=SC2034
# SPDX-License-Identifier: Apache-2.0
# The disk of the VM may grow by more than its datastore has room for. It moves: the guest would be stopped only when there is no room.
finds=('warning|datastore-space-short|destination check|destination')
words="datastore 'small', which VM 'web' uses, has [0-9]* MiB free on host 'h2'.*may still grow by 15 MiB"
vm=web
prepare() {
    local host
    for host in h1 h2; do
        cp "$lab_dir/hosts/$host/agent.conf" "$lab_dir/$host.conf.before"
        printf '\n[datastore small]\npath=%s\n' "$small" >>"$lab_dir/hosts/$host/agent.conf"
        agent_restart "$host"
    done
    chown 64101:64101 "$small"
    godwit datastore init small --host h1 >/dev/null
    wait_until 30 "both hosts to have the datastore" both_have_it
    qemu-img create -q -f qcow2 "$small/data.qcow2" 16M
    chown 64101:64101 "$small/data.qcow2"
    guest h1 "mb=4 rate=1" --disk small:data.qcow2
}
both_have_it() { godwit datastore show small --json | jq -e '[.hosts[] | select(.state == "ok")] | length == 2' >/dev/null; }
inject() { head -c 38M /dev/zero >"$small/filler"; }
heal() { rm -f "$small/filler"; }
tidy() {
    local host
    no_guest
    for host in h1 h2; do
        agent_restart "$host" mv "$lab_dir/$host.conf.before" "$lab_dir/hosts/$host/agent.conf"
    done
    rm "$small/data.qcow2" "$small"/.godwit-*
    chown 0:0 "$small"
}
