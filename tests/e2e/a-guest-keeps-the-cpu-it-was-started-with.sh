#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A VM whose CPU model is all that its host has goes to a host that has more: a warning says what its configuration loses, so that the guest sees no other CPU,
# and it can come back. The next start gives it all that the host has. Host h2 is a fake of a machine with a lesser CPU: its QEMU has no AVX2 (tools/lesser-cpu.c).
. "$(dirname "$0")/../functions.sh" "$1"
lesser=/run/gwt-$$-lesser
on_exit "rm -rf $lesser"
mkdir "$lesser"
cp "$build/tests/tools/lesser-cpu" "$lesser/qemu-system-x86_64"
ln -s /usr/bin/qemu-system-x86_64 "$lesser/qemu-system-x86_64.real"
lab_up --hosts 3 --qemu "h2=$lesser/qemu-system-x86_64"

found() { godwit vm check web --to "$1" --json | jq -c '[.hosts[0].findings[] | [.id, .severity, .side]]'; }
expect_found() { [ "$(found "$1")" = "$2" ] || fail "the check to $1 found $(godwit vm check web --to "$1" --json)"; }
without() { godwit vm show web --json | jq -r .spec.cpu_without; }
start_web() {
    godwit vm start web >/dev/null
    wait_until 60 "the guest web to report" checker_reports web
}

godwit vm create web --host h2 --memory 64 --cpus 1 --accel tcg --cpu-model max --kernel "$checker" --append "vcpus=1 sweep_ms=1500 mb=8 rate=5" >/dev/null
start_web
[ -z "$(without)" ] || fail "it starts without $(without)"
expect_found h1 '[["cpu-config-modified","warning","destination"]]'
task=$(migrate web h1) || fail "$(jq -c .error <<<"$task")"
jq -e '.warnings | length == 1 and (.[0] | .id == "cpu-config-modified" and .arguments.added == "avx2" and .cause != "" and .fix != "")' <<<"$task" >/dev/null ||
    fail "the task does not say what it changed: $(jq -c .warnings <<<"$task")"
say "$(jq -r '.warnings[0] | .message + " | " + .cause' <<<"$task")"
shown=$(godwit task show "$(jq -r .task <<<"$task")" --timeline)
grep -q "warning: .*without avx2" <<<"$shown" || fail "task show does not warn: $shown"
grep -q "specification: .*, max without avx2;" <<<"$shown" || fail "the specification does not say it: $shown"
[ "$(without)" = avx2 ] || fail "its configuration loses '$(without)'"
tr '\0' '\n' <"/proc/$(godwit vm show web --json | jq .pid)/cmdline" | grep -qx "max,avx2=off" || fail "QEMU gives it another CPU"
checker_is_whole web

# A host like the one it is on has nothing to change; the one it came from has all it needs, also when the agent is another.
expect_found h3 '[]'
agent_restart h1
known() { [ "$(found h2)" = '[]' ]; }
wait_until 30 "the agent of h1 to know its CPU" known
migrate web h3 >/dev/null || fail "web to h3"
migrate web h2 >/dev/null || fail "web to h2"
[ "$(without)" = avx2 ] || fail "on the way it got back avx2: '$(without)'"
checker_is_whole web

# With the next start it is as its host, and cannot go where less is.
migrate web h1 >/dev/null || fail "web to h1"
godwit vm stop web --force >/dev/null
start_web
[ -z "$(without)" ] || fail "after a start it lacks $(without)"
expect_found h2 '[["cpu-features-missing","error","destination"]]'
answer=$(godwit vm check web --to h2 --json) && fail "a check that found an error succeeded"
[ "$(jq -r '.hosts[0].findings[0].arguments.missing' <<<"$answer")" = avx2 ] || fail "$answer"
expect_error cpu-features-missing godwit vm migrate web --to h2

# A named model is the same everywhere.
godwit vm stop web --force >/dev/null
godwit vm set web --cpu-model qemu64 >/dev/null
start_web
expect_found h2 '[]'
migrate web h2 >/dev/null || fail "web to h2 with a named model"
checker_is_whole web
