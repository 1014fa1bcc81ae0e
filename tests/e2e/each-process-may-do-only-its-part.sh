#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# While a VM moves: what the door, the jobs, their guards and QEMU are on both hosts is printed and is no more than they need (user, groups, rights,
# system call filter, descriptors); and their users reach no file, no socket and no process of the agent and the manager. What the filters themselves
# allow: tests/job/a-job-calls-only-what-it-needs.c and a-door-….
. "$(dirname "$0")/../functions.sh" "$1"
lab_up --hosts 2
checker_vm vm h1 128 1 tcg "mb=48 rate=4 mode=page"
task=$(godwit vm migrate vm --to h2 --bandwidth 1 --detach)
copies() { godwit task show "$task" --json | jq -e '.phase == "copy" and (.bytes_on_wire // 0) > 0' >/dev/null; }
wait_until 30 "the copy" copies

declare -A user=([qemu-system-x86]=64101 [godwit-job]=64102 [godwit-guard]=64102 [godwit-door]=64103)
log="$lab_dir/log/h[12].log"
# What each may hold beside standard input. A socket is of its control, of the network, or of another of these processes.
declare -A holds=(
    [godwit-door]="^(socket:\[[0-9]+\]|$log)$"
    [godwit-job]="^(socket:\[[0-9]+\]|$log|$lab_dir/hosts/h[12]/tasks/$task\.(source|destination)\.log|/memfd:heartbeat \(deleted\)|/memfd:ram-[^ ]* \(deleted\)|anon_inode:\[(userfaultfd|eventfd|pidfd)\]|pidfd:\[[0-9]+\]|/proc/[0-9]+/(pagemap|status))$"
    [godwit-guard]="^($log|/memfd:heartbeat \(deleted\)|anon_inode:\[pidfd\]|pidfd:\[[0-9]+\])$"
    [qemu-system-x86]="^(socket:\[[0-9]+\]|pipe:\[[0-9]+\]|anon_inode:.*|/dev/(urandom|userfaultfd|net/tun)|/memfd:ram-[^ ]* \(deleted\)|.*/(console.log|qemu.log|godwit-trace.so|checker.elf))$"
)
# read_status PID: its fields, by name, in fields
declare -A fields
read_status() {
    local name value
    while IFS=: read -r name value; do
        value=${value//$'\t'/ } value=${value# }
        [ -z "$name" ] || fields[$name]=${value% }
    done <"/proc/$1/status"
}
must_be() { # WHO FIELD IS SHOULD
    [ "$3" = "$4" ] || fail "$1: $2 is '$3', not '$4'"
}
# read_mode PID FD: how it was opened, in mode: 0 to read, 1 to write, 2 both
read_mode() {
    local name value
    mode=
    while read -r name value; do
        [ "$name" != flags: ] || mode=${value: -1}
    done <"/proc/$1/fdinfo/$2"
}
examine() { # HOST PROGRAM ROLE
    local pid uid=${user[$2]} who="$1 $2" fd target
    pid=$(pids_in "$1" "$2")
    [ "$(wc -w <<<"$pid")" = 1 ] || fail "not one $2 on $1: $pid"
    read_status "$pid"
    say "$who, process $pid: uid ${fields[Uid]}, gid ${fields[Gid]}, groups '${fields[Groups]}', seccomp ${fields[Seccomp]}" \
        "(${fields[Seccomp_filters]} filters), no new privileges ${fields[NoNewPrivs]}, capabilities ${fields[CapPrm]}"
    must_be "$who" Uid "${fields[Uid]}" "$uid $uid $uid $uid"
    must_be "$who" Gid "${fields[Gid]}" "$uid $uid $uid $uid"
    must_be "$who" Groups "${fields[Groups]}" ""
    must_be "$who" Seccomp "${fields[Seccomp]}" 2
    must_be "$who" NoNewPrivs "${fields[NoNewPrivs]}" 1
    for field in CapInh CapPrm CapEff CapAmb; do
        must_be "$who" $field "${fields[$field]}" 0000000000000000
    done
    # What is not dumpable is root's in /proc: no other process of the same user may look into it or trace it.
    [ "$2" = qemu-system-x86 ] || must_be "$who" "owner of its memory" "$(stat -c %u "/proc/$pid/mem")" 0
    for fd in "/proc/$pid/fd/"*; do
        fd=${fd##*/}
        target=$(readlink "/proc/$pid/fd/$fd") || continue # closed meanwhile
        read_mode "$pid" "$fd" 2>/dev/null || continue
        echo "     $fd $target ($mode)"
        [[ $fd == 0 && $target == /dev/null ]] || [[ $target =~ ${holds[$2]} ]] || fail "$who holds $target"
        if [[ $3 == source && $2 == godwit-job && $target == /memfd:ram-* ]]; then
            must_be "$who" "the way in which the guest's memory is open" "$mode" 0
        fi
    done
}
for program in godwit-door godwit-job godwit-guard qemu-system-x86; do
    examine h1 $program source
    examine h2 $program destination
done

# as UID COMMAND…
as() {
    local uid=$1
    shift
    setpriv --reuid "$uid" --regid "$uid" --clear-groups --no-new-privs --bounding-set=-all --inh-caps=-all "$@"
}
agent=$(pids_in h1 godwit-agent) manager=$(pids_in mgr godwitd) job=$(pids_in h1 godwit-job) guard=$(pids_in h1 godwit-guard)
find "$lab_dir/manager" "$lab_dir/log/tasks" "$lab_dir"/hosts/h?/{state,run,tasks} "$lab_dir/cli.conf" >"$lab_dir/files"
[ "$(grep -c . "$lab_dir/files")" -gt 20 ] || fail "hardly a file to try: $(cat "$lab_dir/files")"
chmod 644 "$lab_dir/files"
for uid in 64101 64102 64103; do
    # shellcheck disable=SC2016
    reached=$(as $uid bash -c 'while read -r path; do if [ -r "$path" ] || [ -w "$path" ] || [ -x "$path" ]; then echo "$path"; fi; done' <"$lab_dir/files")
    [ -z "$reached" ] || fail "user $uid reaches $reached"
    for pid in $agent $manager; do
        for file in environ maps mem fd/0; do
            if as $uid cat "/proc/$pid/$file" >/dev/null 2>&1; then
                fail "user $uid reads /proc/$pid/$file"
            fi
        done
        if as $uid kill -0 "$pid" 2>/dev/null; then
            fail "user $uid may signal process $pid"
        fi
    done
    for socket in "$lab_dir/manager/godwitd.sock" "$lab_dir/hosts/h1/run/agent.sock"; do
        [ -S "$socket" ] || fail "there is no socket $socket"
        if as $uid curl -s --unix-socket "$socket" http://localhost/status >/dev/null; then
            fail "user $uid is answered at $socket"
        fi
    done
done
for pid in $job $guard; do
    for file in environ mem; do
        if as 64102 cat "/proc/$pid/$file" >/dev/null 2>&1; then
            fail "a job's user reads /proc/$pid/$file"
        fi
    done
    if as 64101 kill -0 "$pid" 2>/dev/null || as 64103 kill -0 "$pid" 2>/dev/null; then
        fail "QEMU's or the door's user may signal process $pid"
    fi
done
if as 64102 kill -0 "$(pids_in h1 qemu-system-x86)" 2>/dev/null || as 64102 kill -0 "$(pids_in h1 godwit-door)" 2>/dev/null; then
    fail "a job's user may signal QEMU or the door"
fi
say "$(grep -c . "$lab_dir/files") files, and the processes and sockets of agent and manager, are out of reach"

copies || fail "the move was over before all had been tried: $(godwit task show "$task" --json | jq -c '[.state, .error]')"
godwit task cancel "$task" >/dev/null
wait_until 30 "the end of the task" task_is_over "$task"
checker_is_whole vm
