#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The handover protocol is safe and live, and the verifier finds every error that is seeded into it. See README.md.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
model=$here/handover.pml
dir=$(mktemp -d)
child=
passed=0
failed=0
incomplete='depth too small|out of memory|MEMLIM|not completed|truncated'

tidy() {
	if [ -n "$child" ]; then
		kill "$child" 2>/dev/null || true
		wait "$child" 2>/dev/null || true
	fi
	rm -rf "$dir"
}
trap tidy EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# So that a signal ends the child too, and at once.
run() {
	local status=0
	"$@" &
	child=$!
	wait "$child" || status=$?
	child=
	return "$status"
}

# build "SPIN FLAGS" "CC FLAGS": the verifier, as $dir/pan. No partial order reduction: all state is global, it has nothing to reduce. Warnings off: the code is Spin's.
build() {
	local -a spin_flags cc_flags
	read -ra spin_flags <<<"$1"
	read -ra cc_flags <<<"$2"
	rm -f "$dir"/pan*
	(cd "$dir" && exec spin "${spin_flags[@]}" -a "$model") >"$dir/spin.log" 2>&1 || { cat "$dir/spin.log"; return 1; }
	run gcc -w "${cc_flags[@]}" -DNOREDUCE -DMEMLIM=4000 -o "$dir/pan" "$dir/pan.c"
}

# verify PAN-FLAG...: a search to its end or to the first error, in $dir/log.
verify() {
	(cd "$dir" && exec ./pan -m10000 -w24 "$@") >"$dir/log" 2>&1 &
	child=$!
	wait "$child" || true
	child=
}

# Steps of the protocol or of the world that no run took: such a model proves nothing about them. An assert(false) must not be reached.
unreached() {
	awk '/^unreached in/ { ours = /proctype|init/; next } ours && /state [0-9]+/ && !/"-end-"|"assert\(0\)"/' "$dir/log"
}

verdict() { # ok|no, line
	echo "model: $2"
	if [ "$1" = ok ]; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
}

# holds KIND NAME "SPIN FLAGS"
holds() {
	local kind=$1 name=$2 states depth errors
	if [ "$kind" = safety ]; then
		build "$3" "-O2 -DSAFETY -DNOCLAIM"
		verify
	else
		build "$3" "-O2 -DNOFAIR"
		verify -a
	fi
	states=$(awk '/states, stored/ { print $1; exit }' "$dir/log")
	depth=$(sed -n 's/.*depth reached \([0-9]*\).*/\1/p' "$dir/log")
	errors=$(sed -n 's/.*errors: \([0-9]*\)$/\1/p' "$dir/log")
	local line="$kind ${states:-?} states, depth ${depth:-?}, ${errors:-?} errors ($name)"
	if [ "$errors" != 0 ]; then
		verdict no "$line"
		grep '^pan:' "$dir/log" || cat "$dir/log"
		[ ! -e "$dir/handover.pml.trail" ] || (cd "$dir" && spin -k handover.pml.trail -p -g $3 "$model" | tail -n 150)
	elif grep -Eq "$incomplete" "$dir/log"; then
		verdict no "$line: the search is incomplete"
		grep -E "$incomplete" "$dir/log"
	elif [ -n "$(unreached)" ]; then
		verdict no "$line: steps never taken"
		unreached
	else
		verdict ok "$line"
	fi
}

# What the violated assertion means.
meaning() {
	case $1 in
	*'acceptance cycle'*) echo "does not settle" ;;
	*'qemu[(1-h)]'*) echo "two QEMUs running" ;;
	*'fate['*) echo "the VM ran on at both sides" ;;
	*'in[(1-h)]'*) echo "given up, and the other has no record of it" ;;
	*'assertion violated  !('*) echo "two journals say mine" ;;
	*'(0)'*) echo "a QEMU runs that no journal owns" ;;
	*) echo "$1" ;;
	esac
}

# found KIND SEED "SPIN FLAGS": built with -O0, because these searches are short and compiling is not.
found() {
	local kind=$1 seed=$2 error
	if [ "$kind" = safety ]; then
		build "-DSEED_$seed $3" "-O0 -DSAFETY -DNOCLAIM"
		verify
		error=$(grep -m1 '^pan:1: assertion violated' "$dir/log" || true)
	else
		build "-DSEED_$seed $3" "-O0 -DNOFAIR"
		verify -a
		error=$(grep -m1 '^pan:1: acceptance cycle' "$dir/log" || true)
	fi
	if [ -n "$error" ]; then
		verdict ok "seed $seed found: $(meaning "$error")"
	else
		verdict no "seed $seed not found"
		grep -E '^pan:|errors:' "$dir/log" || cat "$dir/log"
	fi
}

deep="-DATTEMPTS=2"
wide="-DATTEMPTS=1 -DCRASHES=2 -DBLACKOUTS=2 -DCONT_FAILS=2 -DCONT_LOSSES=2 -DLOSSES=2"
disk="-DATTEMPTS=1 -DDISK_LOSS"
settle="-DATTEMPTS=1 -DSETTLE"
host="-DATTEMPTS=1 -DSTART -DWRITE_FAILS=1"

safety_seeds="
COMMIT_BEFORE_GIVEN RESUME_AFTER_GIVEN RESTART_RESUMES_GIVEN GIVE_WITHOUT_STOP RUN_WITHOUT_COMMIT CONT_BEFORE_OWNED
RUNNING_BEFORE_OWNED ABORTED_NOT_JOURNALED EPOCH_NOT_BURNED TICKET_TWICE RETURNED_ON_LOST_ANSWER RETURNED_AFTER_RESTART
FORGED_RUNNING FORGED_ABORTED VERDICT_FORGOTTEN COMMIT_RUNS_AGAIN SENDING_DURING_CONT RESTART_WITHOUT_SYNC"
liveness_seeds="COMMIT_ONCE ANSWER_ONCE OWNER_STAYS_PAUSED"
disk_seeds="UNKNOWN_IS_ABORTED"
settle_seeds="SETTLE_OWNER_FIRST SETTLE_TASK_GOES_ON SETTLE_START_UNTOLD"
host_seeds="START_GIVEN START_SENDING RESUME_ON_FAILED_GIVEN RESTART_ONLY_SYNCS"

for seed in $(grep -o 'SEED_[A-Z_]*' "$model" | sort -u); do
	case " $(echo $safety_seeds $liveness_seeds $disk_seeds $settle_seeds $host_seeds) " in
	*" ${seed#SEED_} "*) ;;
	*) verdict no "seed ${seed#SEED_} is in the model and not in this list" ;;
	esac
done

holds safety "one attempt, faults twice" "$wide"
holds liveness "one attempt, faults twice" "$wide"
holds safety "two attempts, faults once" "$deep"
holds liveness "two attempts, faults once" "$deep"
holds safety "the destination's journal lost" "$disk"
holds safety "a VM that is off is started, a write fails" "$host"
holds liveness "a VM that is off is started, a write fails" "$host"
holds safety "the operator settles" "$settle"
holds liveness "the operator settles" "$settle"
for seed in $safety_seeds; do found safety "$seed" "$deep"; done
for seed in $liveness_seeds; do found liveness "$seed" "$deep"; done
for seed in $disk_seeds; do found safety "$seed" "$disk"; done
for seed in $settle_seeds; do found safety "$seed" "$settle"; done
for seed in $host_seeds; do found safety "$seed" "$host"; done

echo "model: $passed passed, $failed failed"
[ "$failed" = 0 ]
