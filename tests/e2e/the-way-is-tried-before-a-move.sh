#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A network that lets connections through and loses large packets, a firewall, a door that is not there: a check names both addresses, port and the largest packet
# that arrives, on the way there and back, with a cure; and it is good again when the network is.
. "$(dirname "$0")/../functions.sh" "$1"
lab_up --hosts 2
godwit vm create web --host h1 --memory 128 --cpus 1 --accel tcg --network vmnet --kernel "$checker" --append "vcpus=1 mb=24 sweep_ms=500 rate=2 mode=page" --start >/dev/null
wait_until 60 "the guest to be filled and to report" checker_reports web
check() { godwit vm check web --to h2 --json || true; }
# found ANSWER: what it says, one finding a line
found() { jq -r '.hosts[0].findings[] | [.id, .severity, .side] | join(" ")' <<<"$1"; }
must_find() {
    local answer
    answer=$(check)
    [ "$(found "$answer")" = "$1" ] || fail "found: $(jq -c '.hosts[0].findings' <<<"$answer")"
    say "$(jq -r '.hosts[0].findings[] | "\(.message); \(.cause); \(.fix)"' <<<"$answer")"
    jq -e 'all(.hosts[0].findings[]; .cause != "" and .fix != "" and .arguments.from != "" and .arguments.to != "")' <<<"$answer" >/dev/null || fail "$answer"
    last=$answer
}
must_find ""

# In the middle, where neither host sees it. A ping goes both ways, so both say so. (A veth passes 4 bytes more than its MTU, for a VLAN.)
for port in h2-mig h1-mig; do
    ip -n "$lab_name-sw" link set "$port" mtu 1300
    must_find $'path-mtu warning source\npath-mtu warning destination'
    jq -e '.hosts[0].findings[0] | .arguments.mtu == "1500" and (.arguments.path_mtu | test("^130[04]$")) and (.message | contains("198.18.2.11") and contains("198.18.2.12"))' \
        <<<"$last" >/dev/null || fail "$last"
    ip -n "$lab_name-sw" link set "$port" mtu 1500
    must_find ""
done

rule() { ip netns exec "$lab_name-h2" nft "$@"; }
rule add table inet test
rule 'add chain inet test in { type filter hook input priority 0; }'
# A move that was begun all the same says within 10 s what it waits for, and why. (A bridge lets large segments pass that a network card would cut up.)
rule 'add rule inet test in iifname "eth-mig" meta length > 1300 drop'
task=$(godwit vm migrate web --to h2 --detach)
says_why() { godwit task show "$task" --json | jq -e '.waiting_for | test("the migration network .*packets of 1500 bytes do not pass .*1300")' >/dev/null; }
wait_until 10 "the task to say why it waits" says_why
godwit task cancel "$task" >/dev/null
wait_until 30 "the task to end" task_is_over "$task"
[ "$(vm_host web) $(vm_state web)" = "h1 running" ] || fail "the VM is $(vm_state web) on $(vm_host web)"
checker_is_whole web
# So does a dry run, whose sample does not come through.
answer=$(godwit vm migrate web --to h2 --dry-run --json 2>/dev/null) && fail "a dry run came through: $answer"
jq -e '.error | (.cause | test("packets of 1500 bytes do not pass")) and .fix != ""' <<<"$answer" >/dev/null || fail "the dry run does not say why: $(jq -c .error <<<"$answer")"
say "dry run: $(jq -r '.error | "\(.message); \(.cause)"' <<<"$answer")"
rule flush chain inet test in

rule 'add rule inet test in tcp dport 8000 drop'
must_find "migration-port-unreachable error source"
jq -e '.hosts[0].findings[0] | (.cause | contains("answers a ping")) and .arguments.port == "8000"' <<<"$last" >/dev/null || fail "$last"
rule flush chain inet test in
rule 'add rule inet test in tcp dport 8000 reject with tcp reset'
must_find "migration-port-unreachable error source"
jq -e '.hosts[0].findings[0].fix | contains("firewall")' <<<"$last" >/dev/null || fail "$last"
rule flush chain inet test in
rule 'add rule inet test in iifname "eth-mig" drop'
must_find $'migration-port-unreachable error source\nmigration-port-unreachable warning destination'
rule delete table inet test
must_find ""
checker_is_whole web
task=$(migrate web h2) || fail "it did not move: $(jq -c .error <<<"$task")"
checker_is_whole web
