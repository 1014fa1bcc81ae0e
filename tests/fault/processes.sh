# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# Processes of a move that are killed, or stopped for a while. Sourced by tests/fault/run; aim sets node, what and how.
programs="godwit-agent godwit-door godwit-job godwit-guard qemu-system-x86"

# Process ids of those that a row means, at least one.
victims() {
    local names name found
    case $what in
    manager) names=godwitd ;;
    agent+job) names="godwit-agent godwit-job" ;;
    host) names=$programs ;;
    qemu) names=qemu-system-x86 ;;
    *) names=godwit-$what ;;
    esac
    found=$(for name in $names; do pids_in "$node" "$name"; done)
    [ -n "$found" ] || fail "none of $names on $node"
    echo "$found"
}
# Who should collect them may be stopped.
are_dead() {
    local pid
    for pid in "$@"; do
        ! [ -e "/proc/$pid" ] || grep -q '^State:.Z' "/proc/$pid/status" 2>/dev/null || return 1
    done
}
paused=()
strike_process() {
    local pids
    if [ "$how" = away ]; then
        godwit lab service stop "$node"
        return
    fi
    mapfile -t pids < <(victims)
    [ ${#pids[@]} -gt 0 ] || fail "no $what on $node"
    case $how in
    stop) kill -STOP "${pids[@]}" ;;
    *s) paused=("${pids[@]}") && kill -STOP "${pids[@]}" ;;
    *)
        kill -KILL "${pids[@]}"
        wait_until 20 "the victims' end" are_dead "${pids[@]}"
        ;;
    esac
}
# An agent that is away misses how the other host goes on.
outlast_process() {
    case $how in
    away) wait_until 20 "the task to go on without $node" in_phase inventory ;;
    *s) sleep "$how" ;;
    esac
}
relent_process() {
    local pid
    if [ "$how" = away ]; then
        godwit lab service start "$node"
    fi
    for pid in "${paused[@]}"; do
        kill -CONT "$pid" 2>/dev/null || true # it may have been ended for its silence
    done
    paused=()
}
