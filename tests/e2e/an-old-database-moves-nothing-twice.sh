#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The manager's database is put back from an older copy: one VM has moved away since, one was moved away and back, one was deleted and one made.
# The inventory follows the agents, the open task of the copy ends, its key starts nothing, and no VM is moved or started. Then the database is
# lost altogether: the hosts are adopted, and everything is there again.
. "$(dirname "$0")/../functions.sh" "$1"
lab_up --hosts 2
state=$lab_dir/manager/state
database() { printf '%s\n' "$state"/manager.db*; }
stop_manager() {
    godwit lab service stop manager >/dev/null
    wait_until 20 "the manager to end" no_manager
}
no_manager() { [ -z "$(pids_in mgr godwitd)" ]; }
start_manager() {
    godwit lab service start manager >/dev/null
    wait_until 30 "the manager" answers
}
answers() { godwit vm ls --json >/dev/null 2>&1; }
connected() { [ "$(godwit host show "$1" --json 2>/dev/null | jq -r .state)" = connected ]; }
wait_connected() {
    wait_until 30 "host h1" connected h1
    wait_until 30 "host h2" connected h2
}
checker_vm goes h1 128 1 tcg "mb=16 rate=10"
checker_vm returns h1 128 1 tcg "mb=16 rate=10"
godwit vm create deleted --memory 64 --host h1 >/dev/null

# The copy is made while a move of "returns" to h2 is being prepared: h2's agent stands still, so its check is not answered.
agent=$(pids_in h2 godwit-agent)
on_exit "kill -CONT $agent 2>/dev/null || true"
kill -STOP "$agent"
post() { curl -sf --unix-socket "$lab_dir/manager/godwitd.sock" -H "Authorization: Bearer $(sed -n 's/^token=//p' "$GODWIT_CONFIG")" -d "$2" "http://manager$1"; }
old=$(post /v1/migrations '{"vm":"returns","destination":"h2","client_key":"old"}' | jq -r .task)
stop_manager
mkdir "$lab_dir/copy"
cp -a $(database) "$lab_dir/copy/"
kill -CONT "$agent"
start_manager
wait_connected
wait_until 60 "the task" task_is_over "$old"

migrate goes h2 >/dev/null || fail "goes did not move"
[ "$(vm_host returns)" = h2 ] || migrate returns h2 >/dev/null || fail "returns did not move"
migrate returns h1 >/dev/null || fail "returns did not come back"
godwit vm rm deleted >/dev/null
godwit vm create young --memory 64 --host h2 >/dev/null
pids() { godwit vm ls --json | jq -cS '[.vms[] | {(.spec.name): [.host, .state, .pid, .epoch]}] | add'; }
before=$(pids)
say "$before"

stop_manager
rm $(database)
cp -a "$lab_dir"/copy/* "$state/"
start_manager
wait_connected
wait_until 60 "the old task" task_is_over "$old"
say "the old task: $(godwit task show "$old" --json | jq -c '[.state, .error.id]')"
[ "$(godwit task show "$old" --json | jq -r .error.id)" = vm-has-moved ] || fail "the old task ended otherwise"
[ "$(pids)" = "$before" ] || fail "not as before: $(pids)"
[ "$(post /v1/migrations '{"vm":"returns","destination":"h2","client_key":"old"}' | jq -r .task)" = "$old" ] || fail "the key of the old task made a new one"
[ "$(pids)" = "$before" ] || fail "the key of the old task moved something: $(pids)"

stop_manager
rm $(database)
token=$("$build"/stage/usr/local/sbin/godwitd token --config "$lab_dir/manager/manager.conf")
sed -i "s/^token=.*/token=$token/" "$GODWIT_CONFIG"
start_manager
[ "$(godwit host ls --json | jq '.hosts | length')" = 0 ] || fail "a new database has hosts"
expect_error host-not-found godwit host show h1
godwit host adopt h1 --address 198.18.1.11
godwit host adopt h2 --address 198.18.1.12
expect_error peer-not-trusted godwit host adopt h3 --address 198.18.1.12
wait_connected
[ "$(pids)" = "$before" ] || fail "not as before the database was lost: $(pids)"
checker_is_whole returns
migrate returns h2 --verify >/dev/null || fail "returns does not move"
checker_is_whole returns
checker_is_whole goes
