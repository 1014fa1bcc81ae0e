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
