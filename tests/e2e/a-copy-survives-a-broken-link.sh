#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The migration link goes down in the middle of a copy, for 1, 10 and 30 s: the copy goes on where it was, and the guest is whole.
. "$(dirname "$0")/../functions.sh" "$1"
lab_up --hosts 2
checker_vm vm h1 256 1 tcg "mb=128 rate=2 mode=page"

has_sent() { [ "$(godwit task show "$task" --json | jq -r '.bytes_on_wire // 0')" -gt "$1" ]; }
waits_for_network() { [[ $(godwit task show "$task" --json | jq -r .waiting_for) == "the migration network from host '$from' to host '$to'"* ]]; }
for seconds in 1 10 30; do
    from=$(vm_host vm) to=$([ "$from" = h1 ] && echo h2 || echo h1)
    task=$(godwit vm migrate vm --to "$to" --bandwidth 20 --detach)
    wait_until 30 "the middle of the copy" has_sent 60000000
    ip -n "$lab_name-sw" link set "$from-mig" down
    [ "$seconds" = 1 ] || wait_until 15 "the task to say what it waits for" waits_for_network
    sleep "$seconds" # the length of the outage is what is tested
    ip -n "$lab_name-sw" link set "$from-mig" up
    wait_until 90 "the end of the move" task_is_over "$task"
    document=$(godwit task show "$task" --json)
    say "$seconds s: $(jq -c '{state, bytes_on_wire, rounds: (.rounds | length), downtime_ms, resumes, bytes_resent, error}' <<<"$document")"
    [ "$(jq -r .state <<<"$document")" = success ] || fail "after $seconds s: $(jq -c .error <<<"$document")"
    # A link that is back within a second breaks no connection: TCP sends again.
    if [ "$seconds" -gt 5 ]; then
        jq -e '.resumes >= 1 and .bytes_resent < 4e6 and .waiting_for == ""' >/dev/null <<<"$document" ||
            fail "after $seconds s: $(jq -c '{resumes, bytes_resent, waiting_for}' <<<"$document")"
        jq -e '[.timeline[] | select(.side == "source") | .event] | index("connections lost") < index("copy resumed") and
               index("copy resumed") < index("guest stopped")' >/dev/null <<<"$document" || fail "timeline: $(jq -c .timeline <<<"$document")"
        prints "went on over new connections" godwit task show "$task" || fail "the command line does not say that the copy went on"
    fi
    checker_is_whole vm
done
