#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Hosts with QEMU 7.2 and 10.0: a VM keeps the machine type of its first start and moves wherever that type is known, forth and back, memory, disk and
# connections whole, also after a move that failed in the switch-over. Where it is not known the move is refused before anything happens, with a cure that works.
. "$(dirname "$0")/../functions.sh" "$1"
need_qemu10
lab_up --hosts 3 --qemu "h2=$qemu10" --qemu-data "h2=$qemu10_data" --qemu "h3=$qemu10" --qemu-data "h3=$qemu10_data"
[ "$(godwit host show h2 --json | jq -r '.facts.machines[0]')" = pc-q35-10.0 ] || fail "h2: $(godwit host show h2)"
[ "$(godwit host show h1 --json | jq -r '.facts.machines[0]')" = pc-q35-7.2 ] || fail "h1: $(godwit host show h1)"
version_on() { case $1 in h1) echo 7.2 ;; *) echo 10.0 ;; esac; }

# The agent's own tests of device state, disk locks and rights, with both programs, while the lab works.
libexec=$build/stage/usr/local/libexec/godwit
agent_test() {
    local name=$1
    shift
    env LAUNCH="$libexec/godwit-launch" TRACE="$libexec/godwit-trace.so" CHECKER="$checker" "$@" "$build/tests/agent/vms/$name" >"$lab_dir/$name.$number" 2>&1 &
    running+=("$! $lab_dir/$name.$number")
    number=$((number + 1))
}
running=() number=0
on_exit wait
locks=a-disk-stays-with-the-source-until-the-destination-runs
agent_test $locks QEMU_OTHER="$qemu10" QEMU_OTHER_DATA="$qemu10_data"
agent_test $locks QEMU="$qemu10" QEMU_DATA="$qemu10_data" MACHINE=pc-q35-7.2 QEMU_OTHER=/usr/bin/qemu-system-x86_64
agent_test $locks QEMU="$qemu10" QEMU_DATA="$qemu10_data"
agent_test qemu-runs-unprivileged-and-sandboxed QEMU="$qemu10" QEMU_DATA="$qemu10_data"
agent_test a-replaced-qemu-is-asked-again QEMU_OTHER="$qemu10"

# move NAME TO MACHINE: it moves, keeps its machine type, and runs under the other host's QEMU
move() {
    local task shown
    task=$(migrate "$1" "$2" --verify) || fail "$1 to $2: $(jq -c .error <<<"$task")"
    shown=$(godwit vm show "$1" --json)
    [ "$(jq -r .spec.machine <<<"$shown")" = "$3" ] || fail "$1 has another machine type: $shown"
    [[ $(jq -r .qemu_version <<<"$shown") == $(version_on "$2").* ]] || fail "$1 runs under another QEMU: $shown"
    say "$1 ($3) to $2: QEMU $(jq -r .qemu_version <<<"$shown"), downtime $(jq .downtime_ms <<<"$task") ms"
}
checker_vm old h1 256 1 tcg "mb=64 rate=20 mode=page"
checker_vm new h2 256 2 tcg "mb=64 rate=20 mode=word"
for to in h2 h3 h1; do
    move old $to pc-q35-7.2
    checker_is_whole old
done

# Refused before the copy, with both versions and the cure; nothing of it is left at the destination, and the guest goes on.
move new h3 pc-q35-10.0
checker_is_whole new
total=$(checker_field new total)
answer=$(godwit vm migrate new --to h1 --json 2>/dev/null) && fail "a machine type that h1 lacks was accepted"
say "$(jq -r '.error | .message + " | " + .cause + " | fix: " + .fix' <<<"$answer")"
[ "$(jq -r '.error.id + " " + .error.phase + " " + .error.side' <<<"$answer")" = "machine-unknown destination check destination" ] || fail "$answer"
[ "$(jq '.rounds | length' <<<"$answer")" = 0 ] || fail "it copied: $answer"
for host in h1 h3; do
    version=$(godwit host show $host --json | jq -r .facts.qemu_version)
    jq -r '.error | .message, .cause' <<<"$answer" | grep -qF "QEMU $version on host '$host'" || fail "the error does not name QEMU $version of $host: $answer"
done
[ "$(vm_host new) $(vm_state new)" = "h3 running" ] || fail "the VM is $(vm_state new) on $(vm_host new)"
[ "$(pids_in h1 qemu-system-x86 | wc -l)" = 1 ] || fail "something was started on h1"
checker_is_whole new
[ "$(checker_field new total)" -gt "$total" ] || fail "the guest's counter went back"
# The cure: a VM made for the older hosts.
godwit vm stop new --force >/dev/null
godwit vm create cured --host h3 --memory 256 --cpus 1 --accel tcg --machine "$(jq -r .error.arguments.newest_machine <<<"$answer")" \
    --kernel "$checker" --append "vcpus=1 sweep_ms=1500 mb=64 rate=20" --start
wait_until 60 "the guest cured to report" checker_reports cured
move cured h1 pc-q35-7.2
checker_is_whole cured
for vm in old cured; do godwit vm stop $vm --force >/dev/null; done

# A guest that was started with all that the newer QEMU has keeps to hosts that have it too; each feature that h1 lacks is named, and the cure works.
godwit vm create wide --host h2 --memory 128 --cpus 1 --accel tcg --machine pc-q35-7.2 --cpu-model max \
    --kernel "$checker" --append "vcpus=1 sweep_ms=1500 mb=32 rate=20" --start >/dev/null
wait_until 60 "the guest wide to report" checker_reports wide
answer=$(godwit vm check wide --to h1 --to h3 --json)
jq -e '[.hosts[] | [.host, .result, [.findings[].id]]] == [["h1", "refused", ["cpu-features-missing"]], ["h3", "passed", []]]' <<<"$answer" >/dev/null || fail "$answer"
task=$(migrate wide h1) && fail "it moved to a CPU that lacks what it was started with"
say "$(jq -r '.error | .message + " | " + .cause + " | fix: " + .fix' <<<"$task")"
[ "$(jq -r '.error | .id + " " + .phase + " " + .side' <<<"$task")" = "cpu-features-missing source check and lock destination" ] || fail "$(jq -c .error <<<"$task")"
jq -e '.error.arguments.missing | split(" ") | length > 0 and index("sse2") == null' <<<"$task" >/dev/null || fail "$(jq -c .error <<<"$task")"
# After a restart the agent still knows what the guest sees.
godwit lab service stop h2
godwit lab service start h2
refused_again() { [ "$(godwit vm check wide --to h1 --json | jq -c '[.hosts[0].findings[].id]')" = '["cpu-features-missing"]' ]; }
wait_until 30 "the agent of h2 to know it again" refused_again
move wide h3 pc-q35-7.2
refused_again || fail "the next host does not know it: $(godwit vm check wide --to h1 --json)"
checker_is_whole wide
godwit vm stop wide --force >/dev/null

godwit vm set wide --cpu-model qemu64 >/dev/null
godwit vm start wide >/dev/null
wait_until 60 "the guest wide to report" checker_reports wide
move wide h1 pc-q35-7.2
checker_is_whole wide
godwit vm stop wide --force >/dev/null

# A Linux guest with disk and open connection. In each direction one move fails when the source's guest stands still already, then one succeeds.
disk=$(disk_image data 64M)
linux_vm web h1 512 2 "gw.work=64:20 gw.disk=32" "$disk"
observer_start
wait_until 20 "the client's first answers" observer_answered 10
copying() { godwit task show "$1" --json | jq -e '.phase == "copy" and (.bytes_on_wire // 0) > 0' >/dev/null; }
goes_on() { [ "$(guest_says disk | jq .seq)" -gt "$1" ]; }
on_its_own() { [ "$(pids_in "$1" qemu-system-x86 | wc -l)" = 0 ]; }
for to in h2 h1; do
    task=$(godwit vm migrate web --to $to --bandwidth 40 --switchover-limit 1 --detach)
    wait_until 30 "the copy to run" copying "$task"
    shell=$(pids_in $to qemu-system-x86)
    kill -STOP "$shell"
    wait_until 60 "the task to end" task_is_over "$task"
    result=$(godwit task show "$task" --json)
    [ "$(jq -r .error.id <<<"$result")" = switchover-limit ] || fail "the move to $to ended otherwise: $(jq -c '.state, .error' <<<"$result")"
    [ "$(vm_host web) $(vm_state web)" != "$to running" ] || fail "web runs on $to"
    wait_until 30 "the shell on $to to be gone" on_its_own $to
    wait_until 30 "the guest's disk to go on" goes_on "$(guest_says disk | jq .seq)"
    answers=$(observer_line | jq .answers_kept)
    move web $to pc-q35-7.2
    wait_until 20 "answers after the move to $to" observer_answered $((answers + 60))
done
seen=$(observer_line)
[ "$(jq '.regressions + .reboots + .reconnects' <<<"$seen")" = 0 ] || fail "the client saw $seen"
[ "$(guest_says work | jq .bad)" = 0 ] || fail "the guest found bad memory: $(guest_says work)"
[ "$(guest_says disk | jq '.bad + .errors')" = 0 ] || fail "the guest found bad disk blocks: $(guest_says disk)"
godwit vm stop web
qemu-img check -q "$disk" || fail "the image is damaged"

for entry in "${running[@]}"; do
    read -r pid log <<<"$entry"
    wait "$pid" || fail "$(basename "$log"): $(tail -n 30 "$log")"
    say "$(basename "$log"): $(grep -a PASSED "$log" | tail -n 1)"
done
