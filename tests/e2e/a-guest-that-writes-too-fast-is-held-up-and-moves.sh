#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A guest that rewrites 128 MB at random as fast as it can moves over a link that is too slow for it, is held up for that, and loses no write.
# The link is slow enough also for the slowest machine, where the page faults of tracking alone hold the guest below 70 MB/s.
. "$(dirname "$0")/../functions.sh" "$1"
lab_up --hosts 2 --link-rate 250mbit
# throttled TASK: the rounds that the guest was held up in, and that lasted long enough (a megabyte, 30 ms) to be no matter of one time slice of the machine
throttled() { jq '[.rounds[] | select(.throttle_bytes_s > 0 and .pages >= 256)]' <<<"$1"; }

checker_vm fast h1 512 2 tcg "mb=128 rate=0 mode=page seed=5"
task=$(migrate fast h2 --verify --max-downtime 100) || fail "the fast guest did not move: $(jq -c .error <<<"$task")"
say "rounds: $(jq -c '[.rounds[] | [.pages, .dirty_pages, .stun_us, .throttle_bytes_s]]' <<<"$task")"
jq -e 'length > 0 and all(.dirty_pages < .pages)' <<<"$(throttled "$task")" >/dev/null || fail "it was not held up, or wrote faster than it was sent"
jq -e '.timeline | any(.event == "guest throttled" and .side == "source")' <<<"$task" >/dev/null || fail "the timeline does not say so"
jq -e '.stun_us > 0 and ([.stuns[].count] | add) > 0 and .stuns[-1].up_to_us == null' <<<"$task" >/dev/null || fail "no stuns: $(jq -c '[.stun_us, .stuns]' <<<"$task")"
# Under TCG each fault names its vCPU.
jq -e '(.stun_per_vcpu | length) == 2 and all(.stun_per_vcpu[]; . > 0)' <<<"$task" >/dev/null || fail "stuns of the vCPUs: $(jq -c .stun_per_vcpu <<<"$task")"
jq -e '.stun_us <= 0.1 * .copy_ms * 1000 * 2 or (.warnings | any(.id == "guest-stunned" and .fix != ""))' <<<"$task" >/dev/null || fail "no warning"
grep -q "guest held up for" <<<"$(godwit task show "$(jq -r .task <<<"$task")" --timeline)" || fail "the command line does not show it"
checker_is_whole fast

godwit vm stop fast --force >/dev/null
# With hardly any time for stuns it cannot be helped: it stays, unharmed, and the cure is named. Then it moves after all.
checker_vm small h1 256 1 tcg "mb=32 rate=0 mode=page seed=8"
task=$(migrate small h2 --max-downtime 100 --bandwidth 15 --stun-limit 1) && fail "it moved in spite of a stun limit of 1 %"
jq -e '.error.id == "not-converging" and (.error.fix | test("stun limit"))' <<<"$task" >/dev/null || fail "the error: $(jq -c .error <<<"$task")"
[ "$(vm_host small)" = h1 ] || fail "it is not where it was"
checker_is_whole small

# A job that dies while it holds the guest up holds nobody any more.
is_held_up() { [ "$(godwit task show "$task" --json | jq '.stun_us // 0')" -gt 0 ]; }
for host in h1 h2; do
    task=$(godwit vm migrate small --to h2 --max-downtime 100 --bandwidth 15 --detach)
    wait_until 60 "the guest to be held up" is_held_up
    kill -KILL "$(pids_in $host godwit-job)"
    wait_until 60 "the task's end" task_is_over "$task"
    document=$(godwit task show "$task" --json)
    say "job of $host killed: $(jq -c '[.state, .error.id, .stun_us]' <<<"$document")"
    [ "$(jq -r .state <<<"$document") $(vm_host small) $(vm_state small)" = "error h1 running" ] || fail "$(jq -c '[.state, .error]' <<<"$document"), the VM is on $(vm_host small), $(vm_state small)"
    checker_is_whole small
done
task=$(migrate small h2 --verify --max-downtime 100 --bandwidth 15) || fail "it did not move after the failure: $(jq -c .error <<<"$task")"
checker_is_whole small
godwit vm stop small --force >/dev/null

if [ -e /dev/kvm ]; then
    checker_vm kvm h1 512 2 kvm "mb=128 rate=0 mode=page seed=6"
    task=$(migrate kvm h2 --verify --max-downtime 100) || fail "the KVM guest did not move: $(jq -c .error <<<"$task")"
    say "KVM: $(jq -c '[.copy_ms, .downtime_ms, .stun_us]' <<<"$task"), throttled rounds $(throttled "$task" | jq length)"
    jq -e 'all(.dirty_pages < .pages)' <<<"$(throttled "$task")" >/dev/null || fail "it wrote faster than it was sent: $(throttled "$task" | jq -c .)"
    checker_is_whole kvm
fi

# Who reads only is left alone.
checker_vm calm h1 512 1 tcg "mb=64 rate=1 mode=word seed=7"
task=$(migrate calm h2) || fail "the calm guest did not move: $(jq -c .error <<<"$task")"
jq -e '.stun_us == 0 and .warnings == [] and all(.rounds[]; .throttle_bytes_s == 0)' <<<"$task" >/dev/null || fail "the calm guest was held up"
