#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# compare.sh BUILD [RUNS]: a 1 GiB Linux guest (TCG) that rewrites 256 MB at 100 MB/s, moved over the same unshaped link by QEMU's own migration (plain,
# multifd) and by us, alternating. Prints every run and the medians; fails unless our median takes less time than both and our downtime is under 50 ms.
# With QEMU=10 in the environment both sides run QEMU 10.0 instead of the machine's.
. "$(dirname "$0")/functions.sh" "$1"
runs=${2:-5}
memory=1024 work="gw.work=256:100"
if [ "${QEMU:-}" = 10 ]; then
    need_qemu10
    lab_up --hosts 2 --qemu "$qemu10" --qemu-data "$qemu10_data"
    export QEMU_PROGRAM=$qemu10 QEMU_DATA=$qemu10_data
else
    lab_up --hosts 2
fi
append="console=ttyS0 quiet $work"

median() { sort -n | awk '{v[NR] = $1} END {print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2}'; }
qemu_run() { "$tests/tools/qemu_migrate.py" "$1" "$linux/vmlinuz" "$linux/initrd" "$append" $memory 1 "$lab_name-h1" "$lab_name-h2" 198.18.2.12 "WORK done"; }
# Ours: from both sides standing ready to the guest running on the destination, as the task's timeline has it for copy and switch-over.
our_run() {
    godwit vm create busy --memory $memory --cpus 1 --host h1 --kernel "$linux/vmlinuz" --initrd "$linux/initrd" --append "$append" --start >/dev/null
    wait_until 90 "the guest to work" console_has busy "WORK done"
    local task
    task=$(migrate busy h2) || fail "our move failed: $(jq -c .error <<<"$task")"
    godwit vm stop busy --force >/dev/null
    godwit vm rm busy >/dev/null
    jq -c '{mode: "ours", status: .state, total_ms: ([.phases[] | select(.name == "copy" or .name == "switch-over") | .ms] | add),
            copy_ms: .copy_ms, downtime_ms, bytes: .bytes_on_wire, rounds: (.rounds | length), task_ms: .duration_ms}' <<<"$task"
}
declare -A totals
downtimes=
for ((run = 1; run <= runs; run++)); do
    for mode in plain multifd ours; do
        if [ $mode = ours ]; then line=$(our_run); else line=$(qemu_run $mode); fi
        echo "$line"
        [[ $(jq -r .status <<<"$line") =~ ^(success|completed)$ ]] || fail "this run did not succeed"
        totals[$mode]+="$(jq .total_ms <<<"$line")"$'\n'
        [ $mode = ours ] && downtimes+="$(jq .downtime_ms <<<"$line")"$'\n'
    done
done
plain=$(printf %s "${totals[plain]}" | median)
multifd=$(printf %s "${totals[multifd]}" | median)
ours=$(printf %s "${totals[ours]}" | median)
downtime=$(printf %s "$downtimes" | median)
echo "medians of $runs: QEMU plain $plain ms, QEMU multifd $multifd ms, ours $ours ms with $downtime ms of downtime"
awk -v plain="$plain" -v multifd="$multifd" -v ours="$ours" -v downtime="$downtime" 'BEGIN {
    printf "ratio to plain %.2f, to multifd %.2f\n", ours / plain, ours / multifd
    exit !(ours < plain && ours < multifd && downtime < 50)
}' || fail "slower than QEMU, or a downtime of 50 ms or more"
