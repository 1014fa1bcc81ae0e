# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# What a check, a task and the doctor say, by command line, API and event. Sourced by tests/troubleshooting/run; a row sets finds, ends, examined and words.

# api METHOD PATH [BODY]
api() {
    local body=()
    [ $# -lt 3 ] || body=(-d "$3")
    curl -s --unix-socket "$lab_dir/manager/godwitd.sock" -H "Authorization: Bearer $token" -H "Accept: application/json" -X "$1" "${body[@]}" "http://manager$2"
}
newest_event() { api GET "/v1/events?limit=1" | jq '.events[-1].id // 0'; }
# events TYPE…: of these types, since the row began
events() { api GET "/v1/events?since=$heard&limit=1000" | jq -c '[.events[] | select(.type | IN($ARGS.positional[]))]' --args "$@"; }
options_json() { jq -cn --arg pool "$pool" 'if $pool == "" then {} else {pool: $pool} end'; }
pool_option() { [ -z "$pool" ] || echo --pool "$pool"; }

# look: what a check finds, into `found`, by the command line; beside it what the API and the command line's text say
look() {
    local text_pid api_pid option
    read -ra option < <(pool_option) || true
    godwit vm check "$vm" --to "$to" "${option[@]}" >"$lab_dir/check.txt" &
    text_pid=$!
    api POST /v1/checks "$(jq -cn --arg vm "$vm" --arg to "$to" --argjson options "$(options_json)" '{vm: $vm, destinations: [$to], options: $options}')" >"$lab_dir/check.json" &
    api_pid=$!
    found=$(godwit vm check "$vm" --to "$to" "${option[@]}" --json) || true # it says no
    wait $text_pid || true
    wait $api_pid
}
findings() { jq -r '.hosts[0].findings[] | "\(.severity)|\(.id)|\(.phase)|\(.side)"' <<<"$found" | sort | tr '\n' ' '; }
# All that the row names and nothing else, the first with its words.
has_found() {
    [ "$(findings)" = "$(printf '%s\n' "${finds[@]}" | sort | tr '\n' ' ')" ] &&
        jq -e --arg words "$words" --arg id "$(cut -d'|' -f2 <<<"${finds[0]}")" \
            'any(.hosts[0].findings[]; .id == $id and (.message + "; " + .cause | test($words)))' <<<"$found" >/dev/null
}
# Hosts are asked anew for each check; what the manager polls for is a moment old, and may change between three looks.
must_find() {
    local deadline=$((SECONDS + 30))
    until look && has_found && says_the_same; do
        [ $SECONDS -lt $deadline ] || fail "not found: ${finds[*]} /$words/, but $(jq -c '.hosts[0].findings // .' <<<"$found"), by the API $(comparable <"$lab_dir/check.json"), shown as $(cat "$lab_dir/check.txt")"
    done
}
must_find_nothing() {
    local deadline=$((SECONDS + 30))
    until look && [ -z "$(findings)" ]; do
        [ $SECONDS -lt $deadline ] || fail "still found: $(jq -c '.hosts[0].findings // .' <<<"$found")"
    done
}
# Numbers differ from one look to the next.
comparable() { jq -cS '[.hosts[0].findings[] | .message |= gsub("[0-9.]+"; "#") | {severity, code, id, phase, side, message, fix}]'; }
says_the_same() {
    [ "$(comparable <<<"$found")" = "$(comparable <"$lab_dir/check.json")" ] &&
        jq -r '.hosts[0].findings[] | .id, "phase: \(.phase) (\(.side))"' <<<"$found" | are_shown_in "$lab_dir/check.txt"
}
check_findings() {
    local one
    while read -r one; do
        check_words <<<"$one"
    done < <(jq -c '.hosts[0].findings[]' <<<"$found")
}
are_shown_in() {
    local text
    while read -r text; do
        grep -qF -- "$text" "$1" || return 1
    done
}
# No error without what, where and cure, and what it speaks of. That somebody cancelled is nobody's fault.
check_words() {
    local one
    one=$(cat)
    jq -e '.id == "cancelled" or .message != "" and .fix != "" and .phase != "" and (.side | IN("source", "destination", "manager")) and (.arguments | length > 0)' <<<"$one" >/dev/null || fail "not explained: $one"
    say "$(jq -r '"\(.id): \(.message); cause: \(.cause); cure: \(.fix)"' <<<"$one")"
}

# has_ended: whether `said` is the row's end of a move
has_ended() {
    if [ "$ends" = moved ]; then
        jq -e '.state == "success"' <<<"$said" >/dev/null
    else
        [ "$(jq -r '.error | "\(.id)|\(.phase)|\(.side)"' <<<"$said")" = "$ends" ] && jq -e --arg words "$words" '.error | .message + "; " + .cause | test($words)' <<<"$said" >/dev/null
    fi
}
# is_held: the move came so far that the source held the VM for it, which takes an epoch
is_held() { [ -n "$ends" ] && [[ "$ends" != *"|destination check|"* && "$ends" != *"|specification|"* && "$ends" != *"||"* ]]; }
check_task() {
    local error by_api by_event
    error=$(jq -cS .error <<<"$said")
    by_api=$(api GET "/v1/tasks/$task" | jq -cS .error)
    by_event=$(events VmMigratedEvent VmFailedMigrateEvent VmMigrationCancelledEvent | jq -cS --arg task "$task" '[.[] | select(.task == $task)] | last | .error')
    [ "$error" = "$by_api" ] || fail "the command line says $error, the API $by_api"
    [ "$error" = "$by_event" ] || fail "the command line says $error, the event $by_event"
    [ "$error" != null ] || return 0
    godwit task show "$task" >"$lab_dir/said.txt"
    jq -r '.error | .id, .message, .cause, .fix | select(. != "")' <<<"$said" | are_shown_in "$lab_dir/said.txt" || fail "the command line shows $(cat "$lab_dir/said.txt"), not $error"
    jq -c .error <<<"$said" | check_words
}
# What is wrong with the wish itself makes no task; each that asks is an event all the same.
check_refusal() {
    local error by_api by_events
    error=$(jq -cS .error <<<"$said")
    by_api=$(api POST /v1/migrations "$(jq -cn --arg vm "$vm" --arg to "$to" --argjson options "$(options_json)" '{vm: $vm, destination: $to, options: $options}')" | jq -cS .error)
    [ "$error" = "$by_api" ] || fail "the command line says $error, the API $by_api"
    by_events=$(events VmMigrationRefusedEvent | jq -cS '[.[].error] | unique')
    [ "$by_events" = "[$error]" ] || fail "the command line says $error, the events $by_events"
    [ "$(events VmMigrationRequestedEvent)" = '[]' ] || fail "a refusal made a task"
    say "$(jq -r '"\(.id): \(.message); cause: \(.cause); cure: \(.fix)"' <<<"$error")"
}

# ask_doctor [OPTION…]: what the doctor of h2 says, into `seen`
ask_doctor() { seen=$(on_h2 godwit doctor --config "$lab_dir/hosts/h2/agent.conf" "$@" --json 2>/dev/null) || true; } # a problem is a failure
# What is not well, one a line; a doctor that cannot do its work says one error.
ill() { jq -c '.checks // [.error + {verdict: "error"}] | .[] | select(.verdict | IN("problem", "warning", "error"))' <<<"$seen"; }
# Other warnings are the machine's.
has_examined() {
    local all wanted one
    all=$(ill | jq -r '"\(.verdict)|\(.id)"' | sort -u)
    wanted=$(printf '%s\n' "${examined[@]}" | sort)
    [ "$(sed '/^warning/d' <<<"$all")" = "$(sed '/^warning/d' <<<"$wanted")" ] || return 1
    for one in "${examined[@]}"; do
        grep -qxF -- "$one" <<<"$all" || return 1
    done
    ill | jq -se --arg one "${examined[0]}" --arg words "$words" --arg cure "$cure" \
        'any(.[]; "\(.verdict)|\(.id)" == $one and (.message + "; " + .cause | test($words)) and (.fix | test($cure)))' >/dev/null
}
must_examine() {
    local deadline=$((SECONDS + 60)) one
    until examine && has_examined; do
        [ $SECONDS -lt $deadline ] || fail "the doctor did not find ${examined[*]} /$words/ /$cure/, but $(ill)"
    done
    for one in "${examined[@]}"; do
        say "$(ill | jq -r --arg one "$one" 'select("\(.verdict)|\(.id)" == $one) | "\(.id): \(.message); cause: \(.cause); cure: \(.fix)"')"
    done
}
# Neither the row's lines nor any problem.
must_not_examine() {
    local deadline=$((SECONDS + 60))
    until examine && ! has_examined && [ -z "$(ill | jq 'select(.verdict != "warning")')" ]; do
        [ $SECONDS -lt $deadline ] || fail "the doctor finds, without the trouble: $(ill)"
    done
}
