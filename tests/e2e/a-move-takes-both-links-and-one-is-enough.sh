#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Two migration networks: a move takes both; one of them goes down in the middle of the copy, and it goes on over the other.
. "$(dirname "$0")/../functions.sh" "$1"
lab_up --hosts 2 --links 2 --link-rate 200mbit
checker_vm vm h1 256 1 tcg "mb=160 rate=2 mode=page"

has_sent() { [ "$(godwit task show "$task" --json | jq -r '.bytes_on_wire // 0')" -gt "$1" ]; }
through() { ip -j -s -n "$lab_name-$1" link show "$2" | jq ".[0].stats64.tx.bytes"; }

before=$(through h1 eth-mig) before2=$(through h1 eth-mig2)
task=$(migrate vm h2) || fail "over both links: $(jq -c .error <<<"$task")"
first=$(($(through h1 eth-mig) - before)) second=$(($(through h1 eth-mig2) - before2))
say "both: $first and $second bytes, $(jq '.bytes_on_wire / .copy_ms / 1000' <<<"$task") MB/s"
[ $first -gt 40000000 ] && [ $second -gt 40000000 ] || fail "the links carried $first and $second bytes"
checker_is_whole vm
# What the hosts were told stays with the task.
jq -e '.specification | .vm.memory_mib == 256 and .vm.cpus == 1 and .vm.accel == "tcg" and (.vm.machine | startswith("pc-q35-")) and .vm.cpu_model == "qemu64" and
    .addresses == [{"from": "198.18.2.11", "to": "198.18.2.12"}, {"from": "198.18.4.11", "to": "198.18.4.12"}] and .port == 8000 and .channels >= 1 and .encrypt and .epoch > 1' \
    <<<"$task" >/dev/null || fail "the specification: $(jq -c .specification <<<"$task")"
grep -q "from 198.18.2.11 to 198.18.2.12 port 8000" <<<"$(godwit task show "$(jq -r .task <<<"$task")" --timeline)" || fail "the command line does not show it"

task=$(godwit vm migrate vm --to h1 --detach)
wait_until 30 "the middle of the copy" has_sent 40000000
ip -n "$lab_name-sw" link set h2-mig2 down
wait_until 90 "the end of the move" task_is_over "$task"
document=$(godwit task show "$task" --json)
say "one went down: $(jq -c '{state, bytes_on_wire, copy_ms, downtime_ms, resumes, bytes_resent, error}' <<<"$document")"
jq -e '.resumes == 1 and ([.timeline[] | select(.event == "address left out")] | length == 1)' >/dev/null <<<"$document" ||
    fail "the task does not tell it: $(jq -c '{resumes, timeline}' <<<"$document")"
[ "$(jq -r .state <<<"$document")" = success ] || fail "$(jq -c .error <<<"$document")"
checker_is_whole vm
