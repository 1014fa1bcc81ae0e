#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A host in maintenance mode takes no VM, neither moved nor started nor created, also after a restart of the manager; its VMs can leave it. A VM that is pinned,
# or held by somebody outside, does not move until that is taken back; each of it is said by a check before.
. "$(dirname "$0")/../functions.sh" "$1"
lab_up --hosts 2

ids() { jq -rc '[.hosts[0].findings[].id] | sort'; }
expect_ids() {
    local found
    found=$(godwit vm check "$1" --to "$2" --json | ids) || true
    [ "$found" = "$3" ] || fail "the check of $1 to $2 found $found, not $3"
}
maintenance() { godwit host show "$1" --json | jq -r .maintenance; }
is_in() { [ "$(maintenance "$1")" = "$2" ]; }

godwit vm create off --host h1 --memory 64 --kernel "$checker" >/dev/null
checker_vm web h1 64 1 tcg "mb=8 rate=1 mode=page"
[ "$(maintenance h1)" = no ] || fail "h1 is in maintenance"

# h2 is emptied already, h1 is not.
[ "$(godwit host maintenance enter h2 --json | jq -r .maintenance)" = yes ] || fail "h2: $(maintenance h2)"
[ "$(godwit host ls --json | jq -r '[.hosts[] | .maintenance] | join(" ")')" = "no yes" ] || fail "$(godwit host ls --json)"
expect_ids web h2 '["host-in-maintenance"]'
expect_error host-in-maintenance godwit vm migrate web --to h2
expect_error host-in-maintenance godwit vm create new --host h2 --memory 64
godwit lab service stop manager
godwit lab service start manager
wait_until 30 "host h1" host_is_connected h1
wait_until 30 "host h2" host_is_connected h2
expect_ids web h2 '["host-in-maintenance"]'
godwit host maintenance enter h1 >/dev/null
godwit host maintenance enter h1 >/dev/null # again is no error
[ "$(maintenance h1)" = entering ] || fail "h1: $(maintenance h1)"
expect_error host-in-maintenance godwit vm start off
godwit host maintenance exit h2 >/dev/null
migrate web h2 >/dev/null || fail "web cannot leave a host that enters maintenance"
wait_until 30 "h1 to be in maintenance" is_in h1 yes
expect_ids web h1 '["host-in-maintenance"]'
godwit host maintenance exit h1 >/dev/null
told=$(godwit event ls --host h1 --json | jq -c '[.events[].type | select(test("Maintenance"))]')
[ "$told" = '["EnteringMaintenanceModeEvent","EnteredMaintenanceModeEvent","ExitMaintenanceModeEvent"]' ] || fail "the events are $told"
expect_error host-not-found godwit host maintenance enter nowhere
status=0
godwit host maintenance leave h1 2>/dev/null || status=$?
[ $status = 2 ] || fail "a word that is none gave exit $status"

# Protection is in force at once, while the VM runs, and goes with it.
godwit vm set web --pinned yes --held-by "nightly backup" >/dev/null
expect_ids web h1 '["vm-held","vm-pinned"]'
expect_error vm-pinned godwit vm migrate web --to h1
godwit vm set web --pinned no >/dev/null
answer=$(godwit vm migrate web --to h1 --json 2>/dev/null) && fail "a VM that is held moved"
jq -e '.error | .id == "vm-held" and .arguments.holder == "nightly backup" and (.fix | contains("--held-by"))' <<<"$answer" >/dev/null || fail "$answer"
godwit vm set web --held-by '' >/dev/null
expect_ids web h1 '[]'
migrate web h1 >/dev/null || fail "web does not move any more"
status=0
godwit vm set web --pinned maybe 2>/dev/null || status=$?
[ $status = 2 ] || fail "--pinned maybe gave exit $status"
# What Godwit sets itself is not taken from outside.
setting() { sed -n "s/^$1 *= *//p" "$GODWIT_CONFIG"; }
answer=$(curl -s --unix-socket "$(setting server | sed 's/^unix://')" -H "Authorization: Bearer $(setting token)" -X PATCH -d '{"cpu_without":"sse2"}' http://localhost/v1/vms/web)
[ "$(jq -r '.error | .code + " " + .id' <<<"$answer")" = "BAD_REQUEST cpu-without" ] || fail "$answer"
checker_is_whole web
