#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# One move succeeds, one fails, one is cancelled: command line, API and stream tell each in the same words, with the figures and the error of its task.
. "$(dirname "$0")/../functions.sh" "$1"

events() { godwit event ls --json "$@"; }
# ended TASK TYPE: the one event that ended the task
ended() { events --task "$1" --type "$2" | jq -ce '.events | if length == 1 then .[0] else error("not one event") end'; }
# same_everywhere TASK TYPE: the text of that event by list, as JSON, by the stream, and the error of the task
same_everywhere() {
    local task=$1 event text error
    event=$(ended "$task" "$2")
    text=$(jq -r .text <<<"$event")
    say "$text"
    [[ $(godwit event ls --task "$task" --type "$2") = *"$text"* ]] || fail "event ls says: $(godwit event ls --task "$task")"
    wait_until 20 "the stream to tell of $task" grep -qF "\"text\":$(jq -c .text <<<"$event")" "$lab_dir/stream"
    [ "$(jq -c "select(.id == $(jq .id <<<"$event"))" "$lab_dir/stream" | jq -cS .)" = "$(jq -cS . <<<"$event")" ] || fail "the stream's event is another one"
    error=$(godwit task show "$task" --json | jq -cS .error)
    [ "$(jq -cS .error <<<"$event")" = "$error" ] || fail "event: $(jq -c .error <<<"$event"), task: $error"
    [ "$error" = null ] || grep -qF -- "$(jq -r .message <<<"$error")" <<<"$text" || fail "the text does not say why: $text"
    # Its figures are those of the task.
    [ "$(jq -cS .figures <<<"$event")" = "$(godwit task show "$task" --json |
        jq -cS '{duration_ms, downtime_ms, stun_us, bytes_on_wire, throughput_mb_s, rounds: (.rounds | length)}')" ] || fail "other figures: $event"
}
refused() {
    local field=$1
    shift
    local said status=0
    said=$(godwit "$@" 2>&1) || status=$?
    [ $status = 1 ] && grep -q "^error: $field= " <<<"$said" && grep -q "fix: " <<<"$said" || fail "godwit $*: exit $status: $said"
}

lab_up
godwit event follow --json >"$lab_dir/stream" &
follower=$!
on_exit "kill $follower 2>/dev/null; wait $follower 2>/dev/null || true"

checker_vm vm h1 256 1 tcg "mb=64 rate=20"
began=$(date -u +%FT%TZ)

say "one that succeeds"
good=$(migrate vm h2 | jq -r .task)
same_everywhere "$good" VmMigratedEvent
types=$(events --task "$good" | jq -r '.events[].type' | uniq)
for type in VmMigrationRequestedEvent VmBeingHotMigratedEvent VmMigrationPhaseEvent VmEmigratingEvent VmSwitchOverEvent VmHandedOverEvent VmMigratedEvent; do
    grep -qx "$type" <<<"$types" || fail "no $type in: $types"
done

say "one that fails"
job() { pids_in h1 godwit-job; }
bad=$(godwit vm migrate vm --to h1 --bandwidth 5 --detach --json | jq -r .task)
wait_until 30 "the job" eval '[ -n "$(job)" ]'
wait_until 30 "the copy" eval '[ "$(godwit task show "$bad" --json | jq -r .phase)" = copy ]'
kill -KILL $(job)
wait_until 60 "the end of $bad" task_is_over "$bad"
same_everywhere "$bad" VmFailedMigrateEvent

say "one that is cancelled"
cancelled=$(godwit vm migrate vm --to h1 --bandwidth 5 --detach --json | jq -r .task)
wait_until 30 "the copy" eval '[ "$(godwit task show "$cancelled" --json | jq -r .phase)" = copy ]'
godwit task cancel "$cancelled"
wait_until 60 "the end of $cancelled" task_is_over "$cancelled"
same_everywhere "$cancelled" VmMigrationCancelledEvent
[ "$(ended "$cancelled" VmMigrationCancelledEvent | jq -r .user)" = "$(godwit task show "$cancelled" --json | jq -r .user)" ] || fail "who cancelled it is not said"

say "one that is refused"
! godwit vm migrate vm --to h2 2>"$lab_dir/refusal" || fail "a move to its own host was not refused"
refusal=$(events --type VmMigrationRefusedEvent --vm vm | jq -r '.events[-1].error.message')
grep -qF -- "$refusal" "$lab_dir/refusal" || fail "the event says '$refusal', the command: $(cat "$lab_dir/refusal")"

say "filters"
for filter in "--vm vm" "--host h1" "--task $good" "--severity error" "--type VmMigratedEvent" "--user lab" "--since $began"; do
    read -r -a words <<<"$filter"
    [ "$(events "${words[@]}" | jq '.events | length')" -gt 0 ] || fail "nothing for $filter"
done
[ "$(events --severity error | jq -r '[.events[].severity] | unique | join(" ")')" = error ] || fail "less than errors with --severity error"
[ "$(events --vm other | jq '.events | length')" = 0 ] || fail "events of a VM that never was"
[ "$(events --until 2026-01-01 | jq '.events | length')" = 0 ] || fail "events from before all began"
[ "$(events --limit 2 --since 0 | jq -c '[.more, (.events | length)]')" = "[true,2]" ] || fail "a page is not a page"
refused severity event ls --severity bad
refused since event ls --since yesterday
refused type event follow --type VmFlewAwayEvent
refused state task ls --state done
refused until task ls --until never

say "the history of moves"
[ "$(godwit task ls --vm vm --state success --json | jq -r '[.tasks[].task] | join(" ")')" = "$good" ] || fail "not the one that succeeded"
[ "$(godwit task ls --host h1 --since "$began" --json | jq '.tasks | length')" = 3 ] || fail "not the three moves"
history=$(godwit task ls --vm vm)
grep -q "^$bad  *error .*MB.*$(godwit task show "$bad" --json | jq -r .error.message)" <<<"$history" || fail "the history does not say why: $history"
grep -q "^$good  *success .* ms  *[0-9.]* MB" <<<"$history" || fail "the history has no figures: $history"
[ "$(godwit event types --json | jq '[.types[] | select(.type == "VmMigratedEvent")] | length')" = 1 ] || fail "the types are not listed"
