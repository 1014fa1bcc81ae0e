# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# For tests whose hosts have a datastore "local" each, which is another one on each. Source it after functions.sh.

datastore_of() { echo "$lab_dir/local-$1"; }
# local_datastores HOST…: makes them known, and waits until the manager sees them
local_datastores() {
    local host
    for host in "$@"; do
        mkdir "$(datastore_of "$host")"
        chown 64101:64101 "$(datastore_of "$host")"
        agent_restart "$host" add_local_section "$host"
        wait_until 30 "the datastore of $host to be made one" datastore_is_made "$host"
    done
    for host in "$@"; do
        wait_until 30 "the datastore of $host" datastore_is_ok "$host"
    done
}
# The manager asks its hosts only so often: the connection to the agent that has ended is no news at once.
datastore_is_made() { [ -e "$(datastore_of "$1")/.godwit-datastore" ] || godwit datastore init local --host "$1" --force >/dev/null 2>&1; }
add_local_section() { printf '\n[datastore local]\npath=%s\n' "$(datastore_of "$1")" >>"$lab_dir/hosts/$1/agent.conf"; }
datastore_is_ok() { godwit datastore show local --json | jq -e --arg host "$1" '.hosts // [] | .[] | select(.host == $host) | .state == "ok"' >/dev/null; }
# add_small_datastore HOST: "small", of 32 MiB, in $lab_dir/small; before local_datastores, which restarts its agent. small_datastore HOST: it is made one, afterwards.
add_small_datastore() {
    mkdir "$lab_dir/small"
    on_exit "umount '$lab_dir/small'"
    mount -t tmpfs -o size=32m,mode=755,uid=64101,gid=64101 small "$lab_dir/small"
    printf '\n[datastore small]\npath=%s\n' "$lab_dir/small" >>"$lab_dir/hosts/$1/agent.conf"
}
small_is_made() { godwit datastore init small --host "$1" >/dev/null 2>&1 || [ -e "$lab_dir/small/.godwit-datastore" ]; }
small_datastore() { wait_until 30 "the small datastore" small_is_made "$1"; }
# local_image HOST NAME FORMAT SIZE: its path
local_image() {
    local path
    path=$(datastore_of "$1")/$2.$3
    qemu-img create -q -f "$3" "$path" "$4"
    chown 64101:64101 "$path"
    echo "$path"
}
# nothing_is_left: no record of a move's images, and no image that no VM has
nothing_is_left() {
    local left
    left=$(find "$lab_dir" -name '*.images')
    [ -z "$left" ] || fail "records of images are left: $left"
}
