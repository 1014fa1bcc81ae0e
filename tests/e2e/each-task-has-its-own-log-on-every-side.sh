#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A move leaves one file at the manager, the source and the destination: only its own lines, each with a time and the task's id, those of the job among
# them. Old files go when they are too many.
. "$(dirname "$0")/../functions.sh" "$1"
lab_up --hosts 2
checker_vm vm h1 128 1 tcg "mb=32 rate=5"
checker_vm other h1 128 1 tcg "mb=32 rate=5"
log_of() { # TASK SIDE: a task's file, wherever its side was
    find "$lab_dir/log/tasks" "$lab_dir"/hosts/h?/tasks -name "$1.$2.log"
}
first=$(migrate vm h2 | jq -r .task)
second=$(migrate other h2 | jq -r .task)
stamp='^20[0-9-]{8}T[0-9:]{8}\.[0-9]{3}Z (DEBUG|INFO|WARN|ERROR) [a-z-]+\[[0-9]+\] '
for side in manager source destination; do
    file=$(log_of "$first" $side)
    [ -s "$file" ] || fail "no log of the $side"
    strange=$(grep -vE "${stamp}move=$first " "$file" || true)
    [ -z "$strange" ] || fail "$side: lines without time or task: $strange"
    ! grep -q "$second" "$file" || fail "$side: a line of another task"
    say "$side: $(wc -l <"$file") lines"
done
for side in source destination; do
    grep -q 'godwit-job\[' "$(log_of "$first" $side)" || fail "the job's lines are not in the $side's file"
    grep -q 'journal of VM' "$(log_of "$first" $side)" || fail "the journal's steps are not in the $side's file"
done
grep -q 'success, complete' "$(log_of "$first" manager)" || fail "the manager's file does not tell the end"

say "a failed one says why, on the side that knows"
migrate vm h1 --bandwidth 1 --detach >/dev/null
failing=$(godwit task ls --limit 1 --json | jq -r '.tasks[0].task')
godwit task cancel "$failing" >/dev/null
godwit task follow "$failing" >/dev/null || true
grep -q "ERROR" "$(log_of "$failing" manager)" || fail "the manager's file does not say why it ended"

say "no more than log_keep_files stay"
sed -i 's/^\[agent\]$/[agent]\nlog_keep_files=1/' "$lab_dir"/hosts/h?/agent.conf
for host in h1 h2; do
    godwit lab service stop $host
    godwit lab service start $host
done
serves() { godwit lab exec "$1" -- "$build/stage/usr/local/sbin/godwit-agent" status --config "$lab_dir/hosts/$1/agent.conf" >/dev/null 2>&1; }
wait_until 30 "the agent of h1" serves h1
wait_until 30 "the agent of h2" serves h2
ready() { [ "$(vm_state vm)$(vm_state other)" = runningrunning ]; }
wait_until 30 "the VMs" ready
moved() { task=$(migrate vm h1); }
wait_until 60 "a move with the new agents" moved
third=$(jq -r .task <<<"$task")
for host in h1 h2; do
    find "$lab_dir/hosts/$host/tasks" -name "$third.*.log" | grep -q . || fail "no log of the newest move on $host"
    # Which one besides the newest depends on what the restarted agent had to say of the older ones.
    [ "$(find "$lab_dir/hosts/$host/tasks" -name "*.log" | wc -l)" -le 2 ] || fail "more logs than that on $host: $(ls "$lab_dir/hosts/$host/tasks")"
done
[ -s "$(log_of "$first" manager)" ] || fail "the manager has its own number"
