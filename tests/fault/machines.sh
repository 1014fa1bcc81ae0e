# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# A machine that is out of something, or whose clock is wrong. Sourced by tests/fault/run; aim sets node and how.

# The time of day of a daemon jumps (tests/tools/clock-jump.c). It runs on with that library for later rows.
has_clock() { tr '\0' '\n' <"/proc/$(one_of "$1" "$(daemon_of "$1")")/environ" | grep -q ^CLOCK_JUMP_FILE=; }
set_clock() { echo "$2" >"$lab_dir/clock-$1"; }
prepare_clock() {
    set_clock "$node" 0
    ! has_clock "$node" || return 0
    daemon_off "$node"
    sed -i "s|^argv=|argv=env;LD_PRELOAD=$build/tests/tools/clock-jump.so;CLOCK_JUMP_FILE=$lab_dir/clock-$node;|" \
        "$lab_dir/services/$(service_of "$node").service"
    daemon_on "$node"
    has_clock "$node" || fail "$node has a clock that does not jump"
}
strike_clock() { set_clock "$node" $((${how%h} * 3600)); }
relent_clock() { set_clock "$node" 0; }

# limit NODE PROGRAM NAME VALUE: a soft limit of that process, which its children inherit. A root who lacks CAP_SYS_RESOURCE changes it as the process's user.
limit() {
    local pid
    pid=$(one_of "$1" "$2")
    as_owner "$pid" prlimit --pid "$pid" "--$3=$4:"
}
as_owner() {
    local uid gid
    uid=$(sed -n 's/^Uid:\t\([0-9]*\).*/\1/p' "/proc/$1/status") gid=$(sed -n 's/^Gid:\t\([0-9]*\).*/\1/p' "/proc/$1/status")
    shift
    setpriv --reuid "$uid" --regid "$gid" --clear-groups "$@"
}

# Less address space than a QEMU needs, and more than the agent has.
strike_memory() { limit "$node" godwit-agent as 1310720000; }
relent_memory() { limit "$node" godwit-agent as unlimited; }
check_memory() { error_names memory; }

# No descriptor more than the process has.
first_free() {
    local number=0
    while [ -e "/proc/$1/fd/$number" ]; do
        number=$((number + 1))
    done
    echo $number
}
take_descriptors() {
    limited=$(one_of "$node" "$1")
    descriptors=$(as_owner "$limited" prlimit --pid "$limited" --nofile --noheadings --output SOFT | tr -d ' ')
    limit "$node" "$1" nofile "$(first_free "$limited")"
}
# A job may have ended.
give_descriptors() { as_owner "$limited" prlimit --pid "$limited" --nofile="$descriptors:" 2>/dev/null || [ ! -e "/proc/$limited" ]; }
strike_descriptors() { take_descriptors "$(daemon_of "$node")"; }
relent_descriptors() { give_descriptors; }
# A daemon that can take no connection can only be said not to answer.
check_descriptors() { error_names 'Too many open files|does not answer|no answer of'; }
strike_job-descriptors() { take_descriptors godwit-job; }
relent_job-descriptors() { give_descriptors; }
check_job-descriptors() { error_names 'Too many open files'; }

# error_names PATTERN: the task succeeded, or says so
error_names() {
    task_json | jq -e --arg pattern "$1" '.error == null or (.error | .message + " " + .cause | test($pattern))' >/dev/null ||
        fail "the error does not name $1: $(task_json | jq -c .error)"
}
