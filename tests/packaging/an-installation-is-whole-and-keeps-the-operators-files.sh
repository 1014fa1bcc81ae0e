#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# make install below a DESTDIR: systemd accepts the units, the users come out right, a second installation keeps what the operator wrote, and
# uninstalling leaves nothing but that.
set -Eeuo pipefail
trap 'echo "failed at line $LINENO: $BASH_COMMAND" >&2' ERR
build=$(cd "$1" && pwd)
top=$(cd "$(dirname "$0")/../.." && pwd)
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
fail() {
    echo "FAILED: $*" >&2
    exit 1
}
install_there() { DESTDIR=$root meson install -C "$build" --quiet --no-rebuild; }

command -v systemd-analyze >/dev/null || { echo "skipped: no systemd-analyze" && exit 77; }
install_there
local=$root/usr/local

echo "-- every program runs and says the same version"
version=$("$local/bin/godwit" --version)
for program in sbin/godwitd sbin/godwit-agent; do
    said=$("$local/$program" --version)
    [ "${said##* }" = "${version##* }" ] || fail "$program says '$said', godwit says '$version'"
done

echo "-- systemd finds no fault with the units"
mkdir -p "$root/lib/systemd"
cp -r /lib/systemd/system "$root/lib/systemd/"
for unit in "$local"/lib/systemd/system/*.service; do
    complaints=$(MANPATH=$local/share/man systemd-analyze verify --root="$root" "$(basename "$unit")" 2>&1) || fail "$(basename "$unit"): $complaints"
    [ -z "$complaints" ] || fail "$(basename "$unit"): $complaints"
done
rm -r "$root/lib/systemd"

echo "-- the users"
systemd-sysusers --root="$root" 2>/dev/null
for user in godwit godwit-qemu godwit-job godwit-door; do
    grep -q "^$user:.*:/usr/sbin/nologin$" "$root/etc/passwd" || fail "no user $user"
done
grep -q '^kvm:.*:godwit-qemu$' "$root/etc/group" || fail "godwit-qemu is not in the group kvm: $(cat "$root/etc/group")"
while IFS=: read -r name _ uid _; do
    [ "$uid" != 0 ] || fail "$name is root"
done <"$root/etc/passwd"

echo "-- the configuration files are taken as they are"
# The manager reads its file and then wants its folder; another prefix than this test's is not touched.
sed -i "s|^\[manager\]|&\nstate=$root/state\nsocket=$root/socket\nport=0|" "$root/etc/godwit/manager.conf"
"$local/sbin/godwitd" token --config "$root/etc/godwit/manager.conf" | grep -q '^gwt1\.' || fail "godwitd refuses its example"
rm -r "$root/state"
# The agent gets past its file and stops at the token.
sed -i "s|^\[agent\]|&\nqemu_user=1:1\njob_user=2:2\ndoor_user=3:3\nstate=$root/state|" "$root/etc/godwit/agent.conf"
said=$("$local/sbin/godwit-agent" enroll --config "$root/etc/godwit/agent.conf" --manager https://198.18.1.1:8400 --token no 2>&1) && fail "enrolled without a token"
[[ $said == *bad-token* ]] || fail "godwit-agent refuses its example: $said"
rm -r "$root/state"

echo "-- the firewall's files"
for file in "$local"/share/doc/godwit/firewall/*.xml; do
    python3 -c 'import sys, xml.etree.ElementTree as tree; assert tree.parse(sys.argv[1]).find("port").get("protocol") == "tcp"' "$file"
done
if command -v nft >/dev/null; then
    nft -c -f "$local/share/doc/godwit/firewall/godwit.nft"
fi

echo "-- an operator's file outlives an installation"
echo "# mine" >"$root/etc/godwit/agent.conf"
rm "$root/etc/godwit/manager.conf"
install_there
[ "$(cat "$root/etc/godwit/agent.conf")" = "# mine" ] || fail "agent.conf was overwritten"
[ -s "$root/etc/godwit/manager.conf" ] || fail "the missing manager.conf did not come back"

echo "-- uninstalling leaves the configuration and nothing else"
DESTDIR=$root "$top/packaging/uninstall" "$build"
rm "$root"/etc/passwd* "$root"/etc/group* "$root"/etc/shadow* "$root"/etc/gshadow* "$root"/etc/.pwd.lock
left=$(find "$root" -type f | sort)
[ "$left" = "$root/etc/godwit/agent.conf
$root/etc/godwit/manager.conf" ] || fail "left over: $left"
