#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# usage: debian-boots.sh OUTDIR [bios|uefi]
# The Debian guest boots by its firmware under TCG, takes its name and address from a cloud-init seed, serves PostgreSQL (with checksums), Redis and a
# file, answers through the guest agent, powers off by the ACPI button and leaves a clean file system.
set -Eeuo pipefail
guest=$(cd "$1" && pwd)
firmware=${2:-bios}
tests=$(cd "$(dirname "$0")/.." && pwd)
dir=$(mktemp -d "${TMPDIR:-/tmp}/guests-debian-XXXXXX")
qemu_pid=
cleanup() {
    if [ -n "$qemu_pid" ]; then
        kill "$qemu_pid" 2>/dev/null || true
        wait "$qemu_pid" 2>/dev/null || true
    fi
    rm -rf "$dir"
}
trap cleanup EXIT
trap 'exit 1' HUP INT TERM

fail() {
    echo "FAIL: $*" >&2
    tail -n 20 "$dir/serial" "$dir/err" >&2 || true
    exit 1
}

# wait_for SECONDS WHAT COMMAND…
wait_for() {
    local deadline=$((SECONDS + $1)) what=$2
    shift 2
    until "$@"; do
        kill -0 "$qemu_pid" 2>/dev/null || fail "QEMU ended while waiting for $what"
        [ $SECONDS -lt $deadline ] || fail "waited too long for $what"
        sleep 0.1
    done
}
# ask SOCKET COMMAND…: the answers, a line each, of QEMU's monitor or of the guest agent
ask() {
    python3 - "$@" <<'PY'
import json, socket, sys
peer = socket.socket(socket.AF_UNIX)
peer.settimeout(60)
peer.connect(sys.argv[1])
lines = peer.makefile("r")
for command in sys.argv[2:]:
    peer.sendall(command.encode() + b"\n")
    while (answer := json.loads(lines.readline())).keys().isdisjoint({"return", "error"}):
        pass
    print(json.dumps(answer))
PY
}
monitor() { ask "$dir/monitor" '{"execute":"qmp_capabilities"}' "$1" | tail -n 1; }
port_of() { awk -v port="$1" '/HOST_FORWARD/ && $6 == port { print $4 }' "$dir/ports"; }
console_has() { grep -aq "$1" "$dir/serial"; }

flash=()
if [ "$firmware" = uefi ]; then
    cp /usr/share/OVMF/OVMF_VARS_4M.fd "$dir/vars"
    flash=(-drive "if=pflash,format=raw,readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.fd" -drive "if=pflash,format=raw,file=$dir/vars")
fi
qemu-img create -q -f qcow2 -b "$guest/disk.qcow2" -F qcow2 "$dir/disk.qcow2"
"$tests/guests/debian/seed" "$dir/seed" database 10.0.2.15/24
started=$SECONDS
qemu-system-x86_64 -machine q35 -accel tcg,thread=multi -cpu qemu64 -smp 2 -m 512 -nodefaults -vga none -display none -no-reboot "${flash[@]}" \
    -chardev "file,id=serial,path=$dir/serial" -serial chardev:serial \
    -chardev "socket,id=monitor,path=$dir/monitor,server=on,wait=off" -mon chardev=monitor,mode=control \
    -chardev "socket,id=agent,path=$dir/agent,server=on,wait=off" -device virtio-serial-pci \
    -device virtserialport,chardev=agent,name=org.qemu.guest_agent.0 \
    -drive "file=$dir/disk.qcow2,if=none,id=disk,format=qcow2" -device virtio-blk-pci,drive=disk,bootindex=1 \
    -drive "file=$dir/seed,if=none,id=seed,format=raw" -device virtio-blk-pci,drive=seed -device virtio-rng-pci \
    -netdev "user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:0-10.0.2.15:5432,hostfwd=tcp:127.0.0.1:0-10.0.2.15:6379,hostfwd=tcp:127.0.0.1:0-10.0.2.15:80" \
    -device virtio-net-pci,netdev=net,romfile= 2>"$dir/err" &
qemu_pid=$!
wait_for 10 "QEMU's monitor" test -S "$dir/monitor"
monitor '{"execute":"human-monitor-command","arguments":{"command-line":"info usernet"}}' | jq -r .return >"$dir/ports"
[ -n "$(port_of 80)" ] || fail "no forwarded ports: $(cat "$dir/ports")"
wait_for 600 "the guest to be ready" console_has "GUEST ready"
echo "ready after $((SECONDS - started)) s by $firmware"
if [ "$firmware" = uefi ]; then
    cmp -s "$dir/vars" /usr/share/OVMF/OVMF_VARS_4M.fd && fail "the firmware kept no variables"
fi

query() { psql -h 127.0.0.1 -p "$(port_of 5432)" -U postgres -XAtc "$1"; }
wait_for 60 "the network of the guest" query "SELECT 1" >/dev/null 2>"$dir/psql"
[ "$(query "SHOW data_checksums")" = on ] || fail "PostgreSQL has no checksums"
[ "$(query "CREATE EXTENSION amcheck" 2>&1)" = "CREATE EXTENSION" ] || fail "PostgreSQL has no amcheck"
[ "$(redis-cli -p "$(port_of 6379)" SET key value)" = OK ] || fail "Redis takes no value"
(cd "$dir" && curl -sSf --max-time 60 -o download "http://127.0.0.1:$(port_of 80)/download" && sha256sum -c --quiet "$guest/download.sha256") ||
    fail "the file has another hash"
ask "$dir/agent" '{"execute":"guest-sync","arguments":{"id":7}}' '{"execute":"guest-get-host-name"}' >"$dir/said"
[ "$(sed -n 1p "$dir/said" | jq .return)" = 7 ] || fail "the guest agent says $(cat "$dir/said")"
[ "$(sed -n 2p "$dir/said" | jq -r '.return."host-name"')" = database ] || fail "the seed's name is not the guest's: $(cat "$dir/said")"

monitor '{"execute":"system_powerdown"}' >/dev/null
is_off() { ! kill -0 "$qemu_pid" 2>/dev/null; }
for ((polls = 0; polls < 600; polls++)); do
    is_off && break
    sleep 0.1
done
is_off || fail "QEMU still runs after system_powerdown"
wait "$qemu_pid" || fail "QEMU ended with status $?"
qemu_pid=
"$tests/guests/debian/fsck" "$guest" "$dir/disk.qcow2" || fail "the file system is not clean"
echo "ok: off after $((SECONDS - started)) s"
