#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# usage: checker-detects-corruption.sh CHECKER_ELF
# The self-checking guest finds a flipped byte in a cold page and a page that went back to an older state, each exactly
# once, and nothing before. Runs under TCG.
set -eu
guest=$1
qemu=${QEMU:-qemu-system-x86_64}
dir=$(mktemp -d /dev/shm/guests-corruption-XXXXXX)
qemu_pid=
cleanup() {
    if [ -n "$qemu_pid" ]; then
        kill "$qemu_pid" 2>/dev/null || :
        wait "$qemu_pid" 2>/dev/null || :
    fi
    rm -rf "$dir"
}
trap cleanup EXIT
trap 'exit 1' HUP INT TERM

fail() {
    echo "FAIL: $*" >&2
    tail -n 5 "$dir/serial" >&2 || :
    exit 1
}

# wait_for PATTERN: a line of the guest that matches
wait_for() {
    polls=0
    until grep -Eq "$1" "$dir/serial" 2>/dev/null; do
        kill -0 "$qemu_pid" 2>/dev/null || fail "QEMU ended while waiting for: $1"
        polls=$((polls + 1))
        [ "$polls" -lt 600 ] || fail "no line matches: $1"
        sleep 0.05
    done
}

# field NAME: its value in the last line of figures that is complete up to its last field
field() {
    grep -E '^CHK t_ms=.* cpu1=[0-9]+$' "$dir/serial" | tail -n 1 | sed -E "s/.* $1=([0-9]+).*/\1/"
}

# wait_sweeps N: N more sweeps have ended; of two, the second began after the call
wait_sweeps() {
    target=$(($(field sweeps) + $1))
    polls=0
    until [ "$(field sweeps)" -ge "$target" ]; do
        kill -0 "$qemu_pid" 2>/dev/null || fail "QEMU ended during a sweep"
        polls=$((polls + 1))
        [ "$polls" -lt 600 ] || fail "the guest does not sweep"
        sleep 0.05
    done
}

expect_bad() {
    [ "$(field bad)" = "$1" ] || fail "bad=$(field bad), expected $1: $2"
}

"$qemu" -machine q35,memory-backend=ram -accel tcg,thread=multi -cpu qemu64 -smp 2 -m 64 -nodefaults -vga none \
    -display none -no-reboot -object memory-backend-file,id=ram,size=64M,share=on,mem-path="$dir/ram" \
    -chardev file,id=serial,path="$dir/serial" -serial chardev:serial \
    -kernel "$guest" -append "mb=8 rate=5 vcpus=2 mode=word sweep_ms=500" 2>"$dir/err" &
qemu_pid=$!

# The working set begins a little above 16 MiB and has 8 MiB: these pages are inside.
flipped=$((20 * 1024 * 1024 / 4096))
reverted=$((22 * 1024 * 1024 / 4096))

wait_for '^CHK t_ms=.* cpu1='
wait_sweeps 2
expect_bad 0 "before any corruption"

printf '\252' | dd of="$dir/ram" bs=1 seek=$((flipped * 4096 + 2049)) conv=notrunc status=none
wait_for '^CHK bad .* word=256 '
wait_sweeps 2
expect_bad 1 "after one flipped byte"

dd if="$dir/ram" of="$dir/old" bs=4096 skip=$reverted count=1 status=none
polls=0
while dd if="$dir/ram" bs=4096 skip=$reverted count=1 status=none | cmp -s - "$dir/old"; do
    polls=$((polls + 1))
    [ "$polls" -lt 600 ] || fail "the guest does not rewrite its pages"
    sleep 0.05
done
dd if="$dir/old" of="$dir/ram" bs=4096 seek=$reverted conv=notrunc status=none
wait_for '^CHK bad .* word=0 '
wait_sweeps 2
expect_bad 2 "after one lost write"
echo "ok: $(field total) page writes, $(field sweeps) sweeps, both corruptions found"
