#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Each actor of a move is killed during the copy: exactly one guest runs, its memory is whole, the task says what happened, the next move works.
. "$(dirname "$0")/../functions.sh" "$1"
lab_up --hosts 2
checker_vm vm h1 512 2 tcg "mb=64 rate=4 mode=page"

copying() { godwit task show "$1" --json | jq -e '.phase == "copy" and (.bytes_on_wire // 0) > 0' >/dev/null; }
ended() { godwit task show "$1" --json | jq -e '.state // "" | test("success|error|cancelled")' >/dev/null; }
one_qemu() { [ "$( { pids_in h1 qemu-system-x86; pids_in h2 qemu-system-x86; } | wc -l)" = 1 ]; }
one_guest_runs() {
    wait_until 30 "one VM to run" eval '[ "$(godwit vm show vm --json | jq -r .state)" = running ]'
    # The other side's may still be going away.
    wait_until 30 "one QEMU after $1" one_qemu
    checker_is_whole vm
}
other() { [ "$(vm_host vm)" = h1 ] && echo h2 || echo h1; }

for victim in "src godwit-job" "dst godwit-job" "dst qemu-system-x86" "dst godwit-door" "src godwit-agent" "dst godwit-agent" "mgr godwitd"; do
    read -r side program <<<"$victim"
    from=$(vm_host vm) to=$(other)
    task=$(godwit vm migrate vm --to "$to" --bandwidth 20 --detach)
    wait_until 20 "the copy to run" copying "$task"
    case $side in src) node=$from ;; dst) node=$to ;; *) node=mgr ;; esac
    victims=$(pids_in "$node" "$program")
    [ -n "$victims" ] || fail "no $program on $node"
    for pid in $victims; do kill -KILL "$pid"; done
    wait_until 60 "the task to end after the death of $program on $side" ended "$task"
    result=$(godwit task show "$task" --json)
    say "$program on $side killed: $(jq -r '.state + ": " + (.error.message // "") + " (" + (.error.phase // "") + ", " + (.error.side // "") + ")"' <<<"$result")"
    [ "$(jq -r .state <<<"$result")" = success ] || [ -n "$(jq -r '.error.message // ""' <<<"$result")" ] || fail "no error message: $result"
    one_guest_runs "$victim"
    next=$(migrate vm "$(other)" --verify) || fail "the move after it failed: $(jq -c .error <<<"$next")"
    one_guest_runs "the move after $victim"
done
