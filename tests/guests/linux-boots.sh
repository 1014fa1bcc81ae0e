#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# usage: linux-boots.sh OUTDIR
# The Linux guest boots under TCG, counts requests over its network, works on its memory and its disk without a fault and
# powers off by the ACPI button.
set -eu
guest=$1
qemu=${QEMU:-qemu-system-x86_64}
dir=$(mktemp -d "${TMPDIR:-/tmp}/guests-linux-XXXXXX")
qemu_pid=
reader_pid=
cleanup() {
    for pid in $qemu_pid $reader_pid; do
        kill "$pid" 2>/dev/null || :
        wait "$pid" 2>/dev/null || :
    done
    rm -rf "$dir"
}
trap cleanup EXIT
trap 'exit 1' HUP INT TERM

fail() {
    echo "FAIL: $*" >&2
    tail -n 20 "$dir/serial" "$dir/err" >&2 || :
    exit 1
}

# wait_for PATTERN FILE
wait_for() {
    polls=0
    until grep -Eq "$1" "$2" 2>/dev/null; do
        kill -0 "$qemu_pid" 2>/dev/null || fail "QEMU ended while waiting for: $1"
        polls=$((polls + 1))
        [ "$polls" -lt 600 ] || fail "never seen: $1"
        sleep 0.1
    done
}

# get PATH: the body
get() {
    curl -sS --fail --max-time 30 "http://127.0.0.1:$port$1" || fail "GET $1"
}

# number NAME JSON
number() {
    echo "$2" | sed -nE "s/.*\"$1\":([0-9]+).*/\1/p"
}

truncate -s 32M "$dir/disk"
mkfifo "$dir/monitor.in" "$dir/monitor.out"
cat "$dir/monitor.out" >"$dir/monitor" &
reader_pid=$!
"$qemu" -machine q35 -accel tcg,thread=multi -cpu qemu64 -m 256 -nodefaults -vga none -display none -no-reboot \
    -chardev file,id=serial,path="$dir/serial" -serial chardev:serial \
    -chardev pipe,id=monitor,path="$dir/monitor" -mon chardev=monitor \
    -kernel "$guest/vmlinuz" -initrd "$guest/initrd" \
    -append "console=ttyS0 quiet panic=-1 gw.ip=10.0.2.15/24 gw.work=16:10 gw.disk=8" \
    -drive file="$dir/disk",if=none,id=disk,format=raw -device virtio-blk-pci,drive=disk -device virtio-rng-pci \
    -netdev user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:0-10.0.2.15:80 -device virtio-net-pci,netdev=net \
    2>"$dir/err" &
qemu_pid=$!

wait_for '^GUEST ready' "$dir/serial"
echo "info usernet" >"$dir/monitor.in"
wait_for 'HOST_FORWARD' "$dir/monitor"
port=$(sed -nE 's/.*HOST_FORWARD\] +[0-9]+ +127\.0\.0\.1 +([0-9]+) .*/\1/p' "$dir/monitor")
[ -n "$port" ] || fail "no forwarded port"

wait_for '^WORK done=' "$dir/serial"
wait_for '^DISK seq=[1-9]' "$dir/serial"
first=$(get /count)
second=$(get /count)
[ "$(number count "$second")" -eq $(($(number count "$first") + 1)) ] || fail "count: $first, then $second"
work=$(get /work)
[ "$(number work "$work")" -gt 0 ] || fail "no work: $work"
[ "$(number bad "$work")" -eq 0 ] || fail "bad pages: $work"
disk=$(get /disk)
[ "$(number seq "$disk")" -gt 0 ] || fail "no record written: $disk"
[ "$(number verified "$disk")" -gt 0 ] || fail "no record verified: $disk"
[ "$(number bad "$disk")" -eq 0 ] || fail "bad records: $disk"
[ "$(number errors "$disk")" -eq 0 ] || fail "disk errors: $disk"

echo "system_powerdown" >"$dir/monitor.in"
polls=0
while kill -0 "$qemu_pid" 2>/dev/null; do
    polls=$((polls + 1))
    [ "$polls" -lt 600 ] || fail "QEMU still runs after system_powerdown"
    sleep 0.1
done
wait "$qemu_pid" || fail "QEMU ended with status $?"
qemu_pid=
grep -q '^GUEST powerdown' "$dir/serial" || fail "QEMU ended, but not by the guest's power button handler"
! grep -E 'GUEST error|DISK (error|bad)|WORK bad|I/O error' "$dir/serial" || fail "errors on the console"
echo "ok: $second $work $disk"
