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

# ---- a baseline for the whole cluster, as EVC has it ----
cluster() { godwit cluster show --json | jq -c "$1"; }
cpu_of() { tr '\0' '\n' <"/proc/$(godwit vm show "$1" --json | jq .pid)/cmdline" | grep -x -A1 -- -cpu | tail -n 1; }
restart_web() {
    godwit vm stop web --force >/dev/null
    start_web
}

# What a host cannot provide is refused, with every host, all that it lacks, and what all can have.
answer=$(godwit cluster set --cpu-baseline Haswell --json) && fail "TCG provides a Haswell: $answer"
jq -e '.error.id == "cpu-baseline-refused" and (.error.arguments.best | startswith("Westmere")) and [.hosts[].host] == ["h1", "h2", "h3"] and
    all(.hosts[]; .missing | split(" ") | index("invpcid"))' <<<"$answer" >/dev/null || fail "$answer"
[ "$(cluster .cpu_baseline)" = '"none"' ] || fail "a refused baseline is set: $(cluster .)"
for bad in max host base '' 'a b'; do
    expect_error member-type godwit cluster set --cpu-baseline "$bad"
done
answer=$(godwit cluster set --cpu-baseline No-Such-CPU --json) && fail "$answer"
jq -e '.hosts[0].problem | contains("no such CPU model")' <<<"$answer" >/dev/null || fail "$answer"

# A VM that runs with more is named, and runs on as it is.
godwit vm stop web --force >/dev/null
godwit vm set web --cpu-model max >/dev/null
start_web
pid=$(godwit vm show web --json | jq .pid)
knows_more() { [ "$(cluster '[.power_cycle_needed[].vm]')" = '["web"]' ]; }
godwit cluster set --cpu-baseline Westmere
wait_until 10 "web to be named" knows_more
[ "$(cluster '.cpu_baseline, [.hosts[].cpu_baseline], [.hosts[].problem]' | tr '\n' ' ')" = '"Westmere" ["Westmere","Westmere","Westmere"] ["","",""] ' ] || fail "$(cluster .)"
grep -qw avx <<<"$(cluster '.power_cycle_needed[0].cpu_beyond_baseline')" || fail "$(cluster .)"
[ "$(godwit vm show web --json | jq .pid)" = "$pid" ] || fail "web was touched"
migrate web h1 >/dev/null || fail "web, which has more than the baseline, to h1"
checker_is_whole web

# From its next start it has the baseline, goes everywhere without a word, also after a restart of an agent, and comes back to all of its host when there is none.
restart_web
[ "$(cpu_of web)" = Westmere ] || fail "web has the CPU $(cpu_of web)"
[ "$(godwit vm show web --json | jq -c '[.spec.cpu_model, .spec.cpu_baseline]')" = '["max","Westmere"]' ] || fail "$(godwit vm show web --json)"
[ "$(cluster .power_cycle_needed)" = '[]' ] || fail "$(cluster .)"
agent_restart h1
wait_until 30 "the agent of h1 to know its CPU" known
expect_found h3 '[]'
task=$(migrate web h2) || fail "web with the baseline to the lesser host"
shown=$(godwit task show "$(jq -r .task <<<"$task")" --timeline)
grep -q "specification: .*, Westmere;" <<<"$shown" || fail "the specification does not say it: $shown"
[ "$(cpu_of web)" = Westmere ] || fail "it arrived with the CPU $(cpu_of web)"
checker_is_whole web

# A model of its own may have less, and not more; svm, which no test covers, is left out.
godwit vm stop web --force >/dev/null
expect_error cpu-beyond-baseline godwit vm set web --cpu-model EPYC
expect_error cpu-beyond-baseline godwit vm create more --host h1 --memory 64 --cpu-model EPYC
expect_error cpu-model-unknown godwit vm set web --cpu-model No-Such-CPU
godwit vm set web --cpu-model qemu64 >/dev/null
start_web
[ "$(cpu_of web)" = qemu64,svm=off ] || fail "web has the CPU $(cpu_of web)"
godwit cluster set --cpu-baseline Opteron_G1 >/dev/null
godwit vm stop web --force >/dev/null
expect_error cpu-beyond-baseline godwit vm start web
godwit vm set web --cpu-model '' >/dev/null
start_web
[ "$(cpu_of web)" = Opteron_G1 ] || fail "web has the CPU $(cpu_of web)"
godwit cluster set --cpu-baseline Westmere >/dev/null

# A host that cannot provide it takes no VM, and says so. The KVM of the machines that this was written on has next to nothing.
kvm_host() { sed -i '/^accel=/d; /^\[agent\]/a accel=kvm' "$lab_dir/hosts/h3/agent.conf"; }
on_kvm() { [ "$(godwit host show h3 --json | jq -r .facts.accel)" = kvm ]; }
has_westmere() { godwit host show h3 --json | jq -e '.facts.cpu_models | index("Westmere")' >/dev/null; }
agent_restart h3 kvm_host
wait_until 30 "h3 to be a host with KVM" on_kvm
lacks() { grep -q "under kvm it lacks" <<<"$(cluster '.hosts[2].problem')"; }
if [ -w /dev/kvm ] && ! has_westmere; then
    wait_until 10 "h3 to lack it" lacks
    expect_found h3 '[["cpu-baseline-unsupported","error","destination"]]'
    godwit event ls --host h3 --json | jq -e '[.events[].type] | index("EVCAdmissionFailedEvent")' >/dev/null || fail "nobody is told"
    godwit vm create there --host h3 --memory 64 --kernel "$checker" >/dev/null
    expect_error cpu-baseline-unsupported godwit vm start there
    godwit cluster set --cpu-baseline pentium3 >/dev/null || fail "TCG and this KVM have no CPU in common"
    godwit vm start there >/dev/null
    [ "$(cpu_of there)" = pentium3 ] || fail "under KVM it has the CPU $(cpu_of there)"
    godwit vm stop there --force >/dev/null
fi

godwit cluster set --cpu-baseline none >/dev/null
godwit vm stop web --force >/dev/null
start_web
[ "$(cpu_of web)" = qemu64 ] || fail "without a baseline web has the CPU $(cpu_of web)"
