#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Manager and hosts, each with programs of its own, are upgraded one after the other while VMs run: files are replaced as a package does it (by rename), then the
# service is restarted. No guest stops, no VM, task or connection is lost, VMs that an old agent started move and stop under the new one. A move between an
# upgraded and an old host works or is refused because of the protocol, and the VM stays.
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
programs=/run/gwt-$$-programs
on_exit "rm -rf $programs"
for node in mgr h1 h2; do
    mkdir -p "$programs/$node"
    cp -r "$before"/usr/local/{bin,sbin,libexec} "$programs/$node/"
done
export PATH=$programs/mgr/bin:$PATH
lab_up --hosts 2

# upgrade_files NODE
upgrade_files() {
    local file
    (cd "$after/usr/local" && find bin sbin libexec -type f) | while read -r file; do
        mkdir -p "$programs/$1/${file%/*}"
        cp "$after/usr/local/$file" "$programs/$1/$file.new"
        mv "$programs/$1/$file.new" "$programs/$1/$file"
    done
}
# restart SERVICE NODE PROGRAM: it runs the node's file as it is now
restart() {
    godwit lab service stop "$1"
    wait_until 20 "$3 on $2 to end" gone "$2" "$3"
    godwit lab service start "$1"
    wait_until 20 "$3 on $2 to run its file" runs_its_file "$2" "$3"
    # A manager that has not asked since takes the host for connected.
    [ "$2" = mgr ] || wait_until 30 "the agent of $2" agent_listens "$2"
}
gone() { [ -z "$(pids_in "$1" "$2")" ]; }
runs_its_file() {
    local pid
    pid=$(pids_in "$1" "$2")
    [ -n "$pid" ] && [ "/proc/$pid/exe" -ef "$programs/$1/sbin/$2" ]
}
# upgrade SERVICE NODE PROGRAM: the VMs stay as they are at each step
upgrade() {
    upgrade_files "$2"
    ! runs_its_file "$2" "$3" || fail "$3 on $2 runs a new file already"
    check_same "the replacement of the files of $2"
    restart "$1" "$2" "$3"
    [ "$2" = mgr ] || wait_until 30 "$2 to be connected" host_is "$2" connected
    check_same "the restart of $3 on $2"
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

# A lab's hosts share the programs of the lab; these have their own, as real hosts do.
for host in h1 h2; do
    sed -i "s|$programs/mgr/bin/../sbin/|$programs/$host/sbin/|" "$lab_dir/services/$host.service"
    sed -i "s|^libexec=.*|libexec=$programs/$host/libexec/godwit|" "$lab_dir/hosts/$host/agent.conf"
    restart $host $host godwit-agent
    wait_until 30 "$host to be connected" host_is $host connected
done

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

upgrade manager mgr godwitd
[ "$(godwit task ls --json | jq -c '[.tasks[] | [.task, .state, .downtime_ms]]')" = "$tasks" ] || fail "the tasks are not those of before: $(godwit task ls)"

upgrade h1 h1 godwit-agent
# h1 is new, h2 is not.
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
upgrade h2 h2 godwit-agent

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
