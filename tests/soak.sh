#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# soak.sh BUILD N: the self-checking guest N times each under TCG and KVM, at several dirty rates and with 1, 2 and 4 vCPUs, and the Linux guest N times with
# 1 and 2 vCPUs and its disk in use. Fails on any failed move or lost write. With QEMU=10 in the environment h2 has QEMU 10.0, so that every move is one between
# versions.
. "$(dirname "$0")/functions.sh" "$1"
moves=${2:-50}
if [ "${QEMU:-}" = 10 ]; then
    need_qemu10
    lab_up --hosts 2 --qemu "h2=$qemu10" --qemu-data "h2=$qemu10_data"
else
    lab_up --hosts 2
fi
failed=0 done_moves=0 lost=0

other_host() { [ "$(vm_host "$1")" = h1 ] && echo h2 || echo h1; }
# move_some NAME COUNT: COUNT moves there and back; downtimes are collected in $downtimes
move_some() {
    local count=$2 task
    while ((count-- > 0)); do
        if task=$(migrate "$1" "$(other_host "$1")" --max-downtime 300); then
            done_moves=$((done_moves + 1))
            downtimes+="$(jq .downtime_ms <<<"$task")"$'\n'
        else
            failed=$((failed + 1))
            say "a move failed: $(jq -c '{task, error}' <<<"$task")"
        fi
    done
}
summary() { sort -n | awk '{v[NR] = $1} END {printf "downtime median %.1f ms, worst %.1f ms", v[int((NR + 1) / 2)], v[NR]}'; }
report() {
    printf '%-52s %4d moves  %s  bad %s\n' "$1" "$2" "$(printf %s "$downtimes" | summary)" "$3"
    [ "$3" = 0 ] || lost=$((lost + 1))
}
accels=tcg
[ -e /dev/kvm ] && accels="tcg kvm"
for accel in $accels; do
    number=0
    cases=("1 word 0" "1 page 50" "2 word 100" "2 page 0" "4 word 20" "4 page 100")
    for case in "${cases[@]}"; do
        read -r cpus mode rate <<<"$case"
        # The moves are shared out among the cases so that they add up to N.
        share=$((moves / ${#cases[@]} + (number < moves % ${#cases[@]} ? 1 : 0)))
        number=$((number + 1))
        downtimes=
        checker_vm check h1 512 "$cpus" $accel "mb=96 rate=$rate mode=$mode intr=$((number % 2)) seed=$number"
        move_some check $share
        checker_is_whole check
        report "checker $accel $cpus vCPU $mode rate $rate" $share "$(checker_field check bad)"
        godwit vm stop check --force >/dev/null
        godwit vm rm check >/dev/null
    done
done
for cpus in 1 2; do
    downtimes=
    disk=$(disk_image "soak$cpus" 64M)
    linux_vm web h1 512 $cpus "gw.work=64:30 gw.disk=32" "$disk"
    share=$((moves / 2 + (cpus == 1 ? moves % 2 : 0)))
    move_some web $share
    bad=$(guest_says work | jq .bad)
    disk_bad=$(guest_says disk | jq '.bad + .errors')
    report "linux tcg $cpus vCPU, memory and disk in use" $share $((bad + disk_bad))
    godwit vm stop web --force >/dev/null
    godwit vm rm web >/dev/null
    qemu-img check -q "$disk" || lost=$((lost + 1))
done
echo "$done_moves moves, $failed failed, $lost cases with lost writes"
[ $failed = 0 ] && [ $lost = 0 ]
