#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# usage: checker-fills-memory-as-asked.sh CHECKER_ELF
# Text compresses as text does and random contents do not; a reading guest works and changes nothing; a spread working set leaves holes; a change is found
# in each. Runs under TCG.
set -eu
guest=$1
qemu=${QEMU:-qemu-system-x86_64}
dir=$(mktemp -d /dev/shm/guests-fill-XXXXXX)
qemu_pid=
stop_guest() {
    if [ -n "$qemu_pid" ]; then
        kill "$qemu_pid" 2>/dev/null || :
        wait "$qemu_pid" 2>/dev/null || :
        qemu_pid=
    fi
}
cleanup() {
    stop_guest
    rm -rf "$dir"
}
trap cleanup EXIT
trap 'exit 1' HUP INT TERM

fail() {
    echo "FAIL: $*" >&2
    tail -n 5 "$dir/serial" >&2 || :
    exit 1
}
line() { grep -E '^CHK t_ms=.* cpu0=[0-9]+$' "$dir/serial" 2>/dev/null | tail -n 1; }
field() { line | sed -E "s/.* $1=([0-9]+).*/\1/"; }
# wait_sweeps N: until the guest has ended N sweeps
wait_sweeps() {
    polls=0
    until [ -n "$(line)" ] && [ "$(field sweeps)" -ge "$1" ]; do
        kill -0 "$qemu_pid" 2>/dev/null || fail "QEMU ended"
        polls=$((polls + 1))
        [ "$polls" -lt 600 ] || fail "the guest does not sweep"
        sleep 0.05
    done
}
# start_guest PARAMETERS: with 256 MiB, ready and proved once
start_guest() {
    rm -f "$dir/ram" "$dir/serial"
    "$qemu" -machine q35,memory-backend=ram -accel tcg -cpu qemu64 -m 256 -nodefaults -vga none -display none -no-reboot \
        -object memory-backend-file,id=ram,size=256M,share=on,mem-path="$dir/ram" -chardev file,id=serial,path="$dir/serial" -serial chardev:serial \
        -kernel "$guest" -append "mb=8 sweep_ms=300 $1" 2>"$dir/err" &
    qemu_pid=$!
    wait_sweeps 2
    [ "$(field bad)" = 0 ] || fail "bad=$(field bad) before any corruption, with $1"
}
# expect_found: a byte that is changed in a page that nobody rewrites is found, once
expect_found() {
    printf '\252' | dd of="$dir/ram" bs=1 seek=$((20 * 1024 * 1024 + 2049)) conv=notrunc status=none
    wait_sweeps $(($(field sweeps) + 2))
    [ "$(field bad)" = 1 ] || fail "bad=$(field bad) after one changed byte"
}
# packed COMMAND…: percent that is left of 4 MiB of the working set
packed() { echo $(($(dd if="$dir/ram" bs=1M skip=18 count=4 status=none | "$@" | wc -c) * 100 / (4 * 1024 * 1024))); }

start_guest "mode=read rate=5 fill=text"
[ "$(packed lz4 -1 -c)" -lt 70 ] || fail "lz4 leaves $(packed lz4 -1 -c) % of text"
[ "$(packed zstd -1 -c)" -lt 40 ] || fail "zstd leaves $(packed zstd -1 -c) % of text"
[ "$(packed zstd -1 -c)" -gt 15 ] || fail "zstd leaves only $(packed zstd -1 -c) % of text"
before=$(dd if="$dir/ram" bs=1M skip=18 count=4 status=none | sha256sum)
work=$(field total)
wait_sweeps $(($(field sweeps) + 2))
[ "$(field total)" -gt "$work" ] || fail "a reading guest does not work"
[ "$(dd if="$dir/ram" bs=1M skip=18 count=4 status=none | sha256sum)" = "$before" ] || fail "a reading guest changed its memory"
expect_found
stop_guest

start_guest "mode=page rate=5"
[ "$(packed zstd -1 -c)" -gt 95 ] || fail "zstd leaves only $(packed zstd -1 -c) % of random contents"
before=$(dd if="$dir/ram" bs=1M skip=18 count=4 status=none | sha256sum)
wait_sweeps $(($(field sweeps) + 1))
[ "$(dd if="$dir/ram" bs=1M skip=18 count=4 status=none | sha256sum)" != "$before" ] || fail "a writing guest did not change its memory"
stop_guest

start_guest "mode=read rate=5 spread=16"
kib=$(du -k "$dir/ram" | cut -f 1)
[ "$kib" -lt $((32 * 1024)) ] || fail "8 MiB spread over 128 MiB take $kib KiB"
# The working set begins at 16 MiB and its shadow: a page whose place is a multiple of 16 behind its first one is used.
first=$((16 * 256 + 2))
dd if="$dir/ram" bs=4096 skip=$((first + 16 * 500)) count=1 status=none | tr -d '\000' | grep -q . || fail "a page of the spread working set is empty"
[ -z "$(dd if="$dir/ram" bs=4096 skip=$((first + 16 * 500 + 1)) count=15 status=none | tr -d '\000' | head -c 1)" ] || fail "a page between was touched"
printf '\252' | dd of="$dir/ram" bs=1 seek=$(((first + 16 * 500) * 4096 + 2049)) conv=notrunc status=none
wait_sweeps $(($(field sweeps) + 2))
[ "$(field bad)" = 1 ] || fail "bad=$(field bad) after one changed byte"
echo "ok: text, random, reading and spread working sets"
