#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# An agent gets its next certificate by itself, or when told to, and uses it without a restart; a host that enrols again has its old certificate refused at
# once. The guest runs through all of it in the same QEMU, and no agent is restarted.
. "$(dirname "$0")/../functions.sh" "$1"
lab_up --hosts 2
checker_vm vm h1 128 1 tcg "mb=32 rate=5"
pid=$(godwit vm show vm --json | jq .pid)
agent=$(pids_in h1 godwit-agent)
config=$lab_dir/hosts/h1/agent.conf
identity=$lab_dir/hosts/h1/state/tls/identity.json
on_h1() { godwit lab exec h1 -- godwit-agent "$@" --config "$config"; }
PATH=$build/stage/usr/local/sbin:$PATH
certificate() { jq -r .certificate "$identity" | openssl x509 -noout -fingerprint -sha256; }
served() { godwit lab exec mgr -- openssl s_client -connect 198.18.1.11:8443 </dev/null 2>/dev/null | openssl x509 -noout -fingerprint -sha256; }
host_state() { godwit host show h1 --json | jq -r .state; }
is_connected() { [ "$(host_state)" = connected ]; }
is_disconnected() { [ "$(host_state)" = disconnected ]; }
unhurt() {
    [ "$(pids_in h1 godwit-agent)" = "$agent" ] || fail "the agent was restarted"
    [ "$(godwit vm show vm --json | jq .pid)" = "$pid" ] || fail "QEMU is another process"
    wait_until 20 "h1 to be connected" is_connected
}

say "told to renew"
first=$(certificate)
prints '^running  *1$' on_h1 status || fail "the status does not count the VM: $(on_h1 status)"
on_h1 renew
second=$(certificate)
[ "$first" != "$second" ] || fail "renew left the certificate as it was"
[ "$(served)" = "$second" ] || fail "the running agent serves another certificate than its newest"
unhurt

say "another user of the host may not"
chmod 755 "$lab_dir/hosts/h1/run" 2>/dev/null
socket=$lab_dir/hosts/h1/run/agent.sock
chmod 777 "$socket"
status=0
answer=$(setpriv --reuid 64199 --clear-groups curl -s --unix-socket "$socket" -X POST http://localhost/renew) || status=$?
chmod 600 "$socket"
chmod 700 "$lab_dir/hosts/h1/run"
[ "$(jq -r .error.id <<<"$answer")" = not-root ] || fail "a stranger got (curl $status): $answer"

say "enrolled again: the old certificate ends, the VM stays"
jq -r .certificate "$identity" >"$lab_dir/old.crt"
jq -r .key "$identity" >"$lab_dir/old.key"
token=$(godwit host enroll h1 --json | jq -r .token)
prints 'running agent uses it' on_h1 enroll --manager https://198.18.1.1:8400 --token "$token" || fail "the running agent was not told"
third=$(certificate)
[ "$third" != "$second" ] || fail "enrolling left the certificate as it was"
[ "$(served)" = "$third" ] || fail "the running agent serves another certificate than its newest"
unhurt
openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout /dev/null -subj /CN=h1 -out "$lab_dir/thief.csr" 2>/dev/null
jq -Rs '{csr: .}' "$lab_dir/thief.csr" >"$lab_dir/thief.json"
answer=$(godwit lab exec h2 -- curl -s --cacert "$lab_dir/manager/state/ca.crt" --cert "$lab_dir/old.crt" \
    --key "$lab_dir/old.key" -d @"$lab_dir/thief.json" https://198.18.1.1:8400/v1/renew)
[ "$(jq -r .error.id <<<"$answer")" = certificate-replaced ] || fail "the old certificate got: $answer"
said=$(on_h1 enroll --manager https://198.18.1.1:8400 --token "$token" 2>&1) && fail "a token worked twice"
[[ $said == *enrolment-token* ]] || fail "the second use of a token said: $said"

say "a certificate with little life left is renewed without being told"
echo "host_certificate_hours=1" >>"$lab_dir/manager/manager.conf"
godwit lab service stop manager
godwit lab service start manager
answers() { godwit host ls --json >/dev/null 2>&1; }
wait_until 30 "the manager" answers
token=$(godwit host enroll h1 --json | jq -r .token)
on_h1 enroll --manager https://198.18.1.1:8400 --token "$token" >"$lab_dir/enrolled"
renewed_by_itself() { [ "$(grep -c 'host h1 has a new certificate' "$lab_dir/log/manager.log")" -gt "$renewals" ]; }
renewals=1 # the one it was told to
wait_until 60 "the agent to renew its certificate" renewed_by_itself
unhurt
served_is_newest() { [ "$(served)" = "$(certificate)" ]; }
wait_until 20 "the agent to serve it" served_is_newest

say "and the VM can leave"
task=$(migrate vm h2) || fail "$(jq -c .error <<<"$task")"
checker_is_whole vm
