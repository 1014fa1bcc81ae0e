#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A guest is told before and after its move through its guest agent, and of one that was aborted; it moves all the same if it does not take note. The result
# says how far its clock is off on both sides, and sets it right if that is asked for.
. "$(dirname "$0")/../functions.sh" "$1"
lab_up --hosts 2
initrd=$lab_dir/initrd-with-agent
cat "$linux/initrd" "$linux/guest-agent" >"$initrd"

# guest NAME IP INITRD ARGUMENT
guest() {
    godwit vm create "$1" --memory 256 --host h1 --accel tcg --kernel "$linux/vmlinuz" --initrd "$3" --append "console=ttyS0 quiet gw.ip=$2/24 $4" \
        --network vmnet --guest-agent yes --notice-timeout 20 --start
    wait_until 120 "the guest $1 to be ready" console_has "$1" "GUEST ready"
}
# notice_of TASK before|after
notice_of() { jq -r ".guest_notice.$2.result // \"none\"" <<<"$1"; }
warnings_of() { jq -r '[.warnings[].id] | join(" ")' <<<"$1"; }
copies() { godwit task show "$1" --json | jq -e '.phase == "copy" and (.bytes_on_wire // 0) > 0' >/dev/null; }
# years_off TASK before|after: by how many whole years the guest's clock is ahead
years_off() { jq -r ".clock_offset_ms.$2 / 1000 / 86400 / 365 | trunc" <<<"$1"; }

guest told 198.18.3.10 "$initrd" ""
expect_error field-out-of-range godwit vm set told --notice-timeout 61
expect_error guest-agent-missing godwit vm create none --memory 64 --host h1 --notice-timeout 5

task=$(migrate told h2)
[ "$(notice_of "$task" before) $(notice_of "$task" after)" = "acknowledged acknowledged" ] || fail "the guest was not told: $(jq .guest_notice <<<"$task")"
[ -z "$(warnings_of "$task")" ] || fail "warnings: $(warnings_of "$task")"
id=$(jq -r .task <<<"$task")
console_has told "^NOTICE after $id h1 h2" || fail "the guest did not hear that it arrived"
[ "$(years_off "$task" before)" -ge 5 ] && [ "$(years_off "$task" after)" -ge 5 ] || fail "the guest's wrong clock was not seen: $(jq -c .clock_offset_ms <<<"$task")"
jq -e '.clock_offset_ms | .was_set == false and ((.after - .before) | fabs) < 60000' <<<"$task" >/dev/null || fail "the clock was touched: $(jq -c .clock_offset_ms <<<"$task")"
say "told before and after, and its clock is left alone"

task=$(migrate told h1 --sync-clock)
jq -e '.clock_offset_ms | .was_set and (.after | fabs) < 60000' <<<"$task" >/dev/null || fail "the clock was not set: $(jq -c .clock_offset_ms <<<"$task")"
say "its clock is set when that is asked for"

task=$(godwit vm migrate told --to h2 --bandwidth 1 --detach)
wait_until 30 "the guest to be told" console_has told "^NOTICE before $task"
wait_until 30 "the copy" copies "$task"
godwit task cancel "$task" >/dev/null
wait_until 30 "the guest to hear that it stays" console_has told "^NOTICE aborted $task h1 h2"
[ "$(vm_host told)" = h1 ] || fail "a cancelled move moved the guest"
godwit vm stop told --force >/dev/null
say "a guest that stays hears that"

guest deaf 198.18.3.11 "$initrd" "notice=hang"
godwit vm set deaf --notice-timeout 2
task=$(migrate deaf h2)
[ "$(notice_of "$task" before) $(notice_of "$task" after)" = "unanswered unanswered" ] || fail "a program that hangs took note: $(jq .guest_notice <<<"$task")"
[ "$(warnings_of "$task" | tr ' ' '\n' | sort -u)" = guest-not-notified ] || fail "no warning of it: $(warnings_of "$task")"
godwit vm stop deaf --force >/dev/null
godwit vm set deaf --append "console=ttyS0 quiet notice=fail"
godwit vm start deaf
wait_until 120 "the guest deaf to be ready" console_has deaf "GUEST ready"
task=$(migrate deaf h1)
jq -e '.guest_notice.before | .result == "failed" and (.problem | test("status 3"))' <<<"$task" >/dev/null || fail "a program that fails took note: $(jq .guest_notice <<<"$task")"
godwit vm stop deaf --force >/dev/null
say "neither a program that hangs nor one that fails holds a move up"

guest mute 198.18.3.12 "$linux/initrd" ""
task=$(migrate mute h2 --sync-clock)
[ "$(notice_of "$task" before) $(notice_of "$task" after)" = "unanswered unanswered" ] || fail "a guest without an agent took note"
[ "$(warnings_of "$task" | tr ' ' '\n' | sort -u | xargs)" = "guest-clock-not-set guest-not-notified" ] || fail "warnings of a guest without an agent: $(warnings_of "$task")"
jq -e '.clock_offset_ms == {"before": null, "after": null, "was_set": false}' <<<"$task" >/dev/null || fail "a clock that nobody told: $(jq -c .clock_offset_ms <<<"$task")"
godwit vm stop mute --force >/dev/null
godwit vm set mute --notice-timeout 0 --guest-agent no
godwit vm start mute
wait_until 120 "the guest mute to be ready" console_has mute "GUEST ready"
expect_error guest-agent-missing godwit vm migrate mute --to h1 --sync-clock
say "done after $SECONDS s"
