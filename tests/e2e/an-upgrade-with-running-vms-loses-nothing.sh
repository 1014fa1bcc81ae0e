#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# All programs are replaced while VMs run, as a package does it (by rename), then the manager and one agent after the other is restarted: no guest stops, no VM,
# task or connection is lost, VMs that an old agent started move and stop under the new one. Between two restarts, a move between a new and an old agent works or
# is refused because of the protocol, and the VM stays.
# The programs before are those that `make upgrade` builds (BUILD/old, the commit in tests/upgrade-from), or without them the same ones in other files.
. "$(dirname "$0")/../functions.sh" "$1"
before=$build/stage after=$build/stage
version=$(sed '/^#/d' "$tests/upgrade-from")
if [ "$(cat "$build/old/stamp" 2>/dev/null)" = "$version" ]; then
    before=$build/old/stage
    say "upgrading from $version"
else
    say "upgrading to the same programs; make upgrade does it from $version"
fi
tree=/run/gwt-$$-programs
on_exit "rm -rf $tree"
mkdir -p "$tree"
cp -r "$before"/usr/local/{bin,sbin,libexec} "$tree/"
export PATH=$tree/bin:$PATH
lab_up --hosts 2

upgrade_files() {
    local file
    (cd "$after/usr/local" && find bin sbin libexec -type f) | while read -r file; do
        cp "$after/usr/local/$file" "$tree/$file.new"
        mv "$tree/$file.new" "$tree/$file"
    done
}
# restart SERVICE NODE PROGRAM: it runs the new file afterwards
restart() {
    godwit lab service stop "$1"
    wait_until 20 "$3 on $2 to end" gone "$2" "$3"
    godwit lab service start "$1"
    wait_until 20 "$3 on $2 to be the new one" is_new "$2" "$3"
}
gone() { [ -z "$(pids_in "$1" "$2")" ]; }
is_new() {
    local pid
    pid=$(pids_in "$1" "$2")
    [ -n "$pid" ] && [ "/proc/$pid/exe" -ef "$tree/sbin/$2" ]
}
host_is() { [ "$(godwit host show "$1" --json 2>/dev/null | jq -r .state)" = "$2" ]; }
# What must not change: processes, states, places and owners of all VMs. The manager learns it anew after a restart.
running_vms() { godwit vm ls --json 2>/dev/null | jq -c '[(.vms // [])[] | [.spec.name, .spec.uuid, .state, .host, .pid, .epoch, .spec.machine]]'; }
same_vms() { [ "$(running_vms)" = "$known" ]; }
check_same() { wait_until 30 "the VMs to be as before after: $1, before: $known, now: $(running_vms)" same_vms; }
other() { [ "$(vm_host "$1")" = h1 ] && echo h2 || echo h1; }
move() {
    local task
    task=$(migrate "$1" "$(other "$1")" --verify) || fail "$1: $(jq -c .error <<<"$task")"
    say "$1 moved to $(vm_host "$1"): downtime $(jq .downtime_ms <<<"$task") ms"
}

checker_vm one h1 256 1 tcg "mb=32 rate=10 mode=page"
checker_vm two h2 256 1 tcg "mb=32 rate=10 mode=page"
disk=$(disk_image data 64M)
linux_vm web h1 512 1 "gw.work=32:10 gw.disk=16" "$disk"
godwit vm create off --memory 128 --cpus 1 --host h2 --kernel "$checker" --append "vcpus=1 mb=32" >/dev/null
observer_start
wait_until 20 "the client's first answers" observer_answered 10
move two
move two
tasks=$(godwit task ls --json | jq -c '[.tasks[] | [.task, .state, .downtime_ms]]')
known=$(running_vms)

upgrade_files
if is_new mgr godwitd || is_new h1 godwit-agent || is_new h2 godwit-agent; then
    fail "a new program runs already"
fi
check_same "the files' replacement"
restart manager mgr godwitd
check_same "the manager's restart"
[ "$(godwit task ls --json | jq -c '[.tasks[] | [.task, .state, .downtime_ms]]')" = "$tasks" ] || fail "the tasks are not those of before: $(godwit task ls)"

restart h1 h1 godwit-agent
wait_until 30 "h1 to be connected" host_is h1 connected
check_same "the restart of h1's agent"
# h1 is new, h2 is not. Also with an old agent it is the new jobs and the new door's files that are started.
for name in web two; do
    from=$(vm_host $name)
    if task=$(migrate $name "$(other $name)" --verify); then
        say "$name moved between versions to $(vm_host $name)"
    else
        say "$name was not moved between versions: $(jq -c '[.error.id, .error.message]' <<<"$task")"
        [ "$(jq -r .error.id <<<"$task")" = protocol-mismatch ] || fail "$(jq -c .error <<<"$task")"
        [ "$(vm_host $name) $(vm_state $name)" = "$from running" ] || fail "$name is $(vm_state $name) on $(vm_host $name)"
    fi
done
known=$(running_vms)
restart h2 h2 godwit-agent
wait_until 30 "h2 to be connected" host_is h2 connected
check_same "the restart of h2's agent"

# Everything works that was started before: memory whole, moved there and back, switched off and on.
for name in one two web; do
    move $name
    [ $name = web ] || checker_is_whole $name
    move $name
done
checker_is_whole one
checker_is_whole two
godwit vm start off >/dev/null
wait_until 30 "the VM that was off to run" console_has off "CHK filled"
answers=$(observer_line | jq .answers_kept)
wait_until 30 "the client's answers to go on" observer_answered $((answers + 20))
seen=$(observer_line)
say "client: $seen"
[ "$(jq '.regressions + .reboots + .reconnects' <<<"$seen")" = 0 ] || fail "the client saw $seen"
[ "$(guest_says work | jq .bad)" = 0 ] || fail "the guest found bad memory: $(guest_says work)"
[ "$(guest_says disk | jq '.bad + .errors')" = 0 ] || fail "the guest found bad disk blocks: $(guest_says disk)"
godwit vm stop web
qemu-img check -q "$disk" || fail "the image is damaged"
[ "$(godwit task ls --json | jq '.tasks | length')" -gt "$(jq length <<<"$tasks")" ] || fail "tasks were lost"
