#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A dry run says what a move would be like and leaves nothing behind, in QEMU, on the hosts and at the manager, also when its job is killed; then a move works.
. "$(dirname "$0")/../functions.sh" "$1"
lab_up --hosts 2
checker_vm check h1 256 1 tcg "mb=64 rate=20 mode=page"
pid=$(pids_in h1 qemu-system-x86)
# Each keeps which datastores it has seen.
knows_datastores() { [ -s "$lab_dir/hosts/h1/state/datastores.json" ] && [ -s "$lab_dir/hosts/h2/state/datastores.json" ]; }
wait_until 20 "both hosts to have seen the datastore" knows_datastores

# All that a move would change. The console's log and those of the daemons grow.
traces() {
    godwit vm show check --json | jq -c '[.state, .host, .pid, .epoch, .spec]'
    godwit task ls --json | jq -c '.tasks'
    (cd "$lab_dir/hosts" && find . -not -name '*.log' | sort)
    sha256sum "$lab_dir"/hosts/*/state/vms/*
    find "/proc/$pid/fd" -lname '*userfaultfd]'
    sed -n 's/^VmFlags:.* \(uw\|um\) .*/a range of QEMU is tracked: \1/p' "/proc/$pid/smaps"
    pids_in h1 godwit-job
    pids_in h2 godwit-job
    pids_in h2 qemu-system-x86
}
as_before() { [ "$(traces)" = "$before" ]; }
left_nothing() { wait_until 10 "nothing to be left of $1; before: $before" as_before; }
before=$(traces)
dry_run() { godwit vm migrate check --to h2 --dry-run "$@" --json; }

answer=$(dry_run)
say "$(jq -c .forecast <<<"$answer")"
jq -e '.vm == "check" and .source == "h1" and .destination == "h2" and all(.checks[]; .result == "passed")
    and (.forecast | .converges and (.needs_sdps | not) and .duration_ms > 0 and .downtime_ms > 0 and .rounds > 0 and .link_mb_s > 0 and .dirty_mb_s > 0
        and .ram_used_bytes >= 64 * 1048576 and .dirty_source == "async")' <<<"$answer" >/dev/null || fail "the forecast says $answer"
left_nothing "a dry run"

# 20 MB/s do not fit through 10.
answer=$(dry_run --bandwidth 10)
say "$(jq -c .forecast <<<"$answer")"
jq -e '.forecast | .needs_sdps and .link_mb_s < 12' <<<"$answer" >/dev/null || fail "the forecast of a slow move says $answer"
left_nothing "a dry run with a cap"

# A way that carries next to nothing is said, and no figures of it.
ip netns exec "$lab_name-h1" tc qdisc replace dev eth-mig root tbf rate 200kbit burst 5kb latency 400ms
answer=$(dry_run) && fail "a dry run over 25 kB/s has figures: $answer"
ip netns exec "$lab_name-h1" tc qdisc del dev eth-mig root
say "$(jq -r '.error | "\(.message); \(.cause); \(.fix)"' <<<"$answer")"
jq -e '.error | .id == "memory-hardly-crosses" and .cause != "" and .fix != ""' <<<"$answer" >/dev/null || fail "$answer"
left_nothing "a dry run over a way that carries nothing"

expect_error same-host godwit vm migrate check --to h1 --dry-run
left_nothing "a dry run that was refused"

# A dry run's job lives for a second or two: if it was over before it was found, on a busy machine, the next one is awaited.
dry_run_whose_job_is_killed_on() {
    local asked job killed=
    until [ "$killed" ]; do
        dry_run >"$lab_dir/answer.json" 2>/dev/null &
        asked=$!
        while [ -z "$killed" ] && kill -0 $asked 2>/dev/null; do
            job=$(pids_in "$1" godwit-job)
            if [ "$job" ] && kill -KILL "$job" 2>/dev/null; then killed=$job; fi
        done
        if wait $asked; then killed=; fi
    done
}
for host in h1 h2; do
    dry_run_whose_job_is_killed_on $host
    say "job of $host killed: $(jq -c '[.error.id, .error.message]' "$lab_dir/answer.json")"
    jq -e '.error.id | IN("job-died", "peer-lost", "ticket-refused")' "$lab_dir/answer.json" >/dev/null || fail "the dry run ended as $(cat "$lab_dir/answer.json")"
    left_nothing "a dry run whose job on $host was killed"
done
checker_is_whole check

task=$(migrate check h2 --verify) || fail "$(jq -c .error <<<"$task")"
checker_is_whole check
