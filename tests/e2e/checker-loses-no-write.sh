#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The self-checking guest finds no lost write after moves under TCG and KVM, with both dirty sources, whole pages and words, 1, 2 and 4 vCPUs.
. "$(dirname "$0")/../functions.sh" "$1"
lab_up --hosts 2
accels=tcg
[ -e /dev/kvm ] && accels="tcg kvm"
number=0
for accel in $accels; do
    for case in "1 word 0 async" "2 page 60 sync" "4 word 200 async"; do
        read -r cpus mode rate source <<<"$case"
        number=$((number + 1))
        name=check$number
        checker_vm $name h1 512 "$cpus" $accel "mb=64 rate=$rate mode=$mode intr=$((number % 2)) seed=$number"
        for to in h2 h1; do
            before=$(checker_field $name total)
            task=$(migrate $name $to --verify --dirty-source "$source" --max-downtime 300) || fail "$accel $case to $to: $(jq -c .error <<<"$task")"
            checker_is_whole $name
            # 64 MiB and an 8000th of the guest's memory, as is promised, and a fourth for the cache of deltas; programs and libraries take some in any case.
            jq -e '(512 * 1048576) as $ram | .job_memory_bytes > 1e6 and .job_memory_bytes < 67108864 + $ram / 8000 + $ram / 4' <<<"$task" >/dev/null || fail "a job took $(jq .job_memory_bytes <<<"$task") bytes"
            [ "$(checker_field $name total)" -gt "$before" ] || fail "the guest's counter went back"
            say "$accel, $cpus vCPUs, $mode, $rate MB/s, $source to $to: downtime $(jq .downtime_ms <<<"$task") ms, rounds $(jq '.rounds | length' <<<"$task")"
        done
        godwit vm stop $name --force >/dev/null
        godwit vm rm $name >/dev/null
    done
done
