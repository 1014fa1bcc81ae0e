#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# An agent that starts asks its QEMU what it can do. One that gives no answer (here: it is stopped) is ended and asked again, and the host is as usable
# as ever.
. "$(dirname "$0")/../functions.sh" "$1"
lab_up --hosts 2
godwit lab service stop h1
no_agent() { [ -z "$(pids_in h1 godwit-agent)" ]; }
wait_until 20 "the agent to end" no_agent
godwit lab service start h1
stop_the_asked_one() {
    asked=$(pids_in h1 qemu-system-x86 | head -n 1)
    [ -n "$asked" ] && kill -STOP "$asked"
}
wait_until 30 "QEMU to be asked" stop_the_asked_one
asked_again() { grep -q "did not answer in time" "$lab_dir/log/h1.log"; }
wait_until 60 "it to be asked again" asked_again
gone() { [ ! -e "/proc/$asked" ]; }
wait_until 10 "the stopped one to be gone" gone
usable() { [ "$(godwit host show h1 --json | jq -r '.state + " " + (if .facts.qemu_version == "" then "without" else "with" end)')" = "connected with" ]; }
wait_until 60 "the host to be connected, with QEMU" usable
checker_vm vm h1 128 1 tcg "mb=16 rate=5"
migrate vm h2 >/dev/null || fail "the VM cannot be moved"
checker_is_whole vm
