#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# usage: boot.sh PROGRAM LINUX-GUEST-FOLDER
# Boots the Linux guest's kernel under TCG with cgroup v2 mounted as systemd does, and runs PROGRAM on it: a limit of a pool holds there too.
set -Eeuo pipefail
program=$1 linux=$2
[ -f "$linux/vmlinuz" ] || {
    echo "skipped: no kernel in $linux (make guests)"
    exit 77
}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tree=$work/tree
mkdir -p "$tree"/{proc,sys,tmp,dev}
gzip -dc <"$linux/initrd" | (cd "$tree" && cpio --quiet -idm bin/busybox)
mknod "$tree/dev/console" c 5 1
cp "$program" "$tree/bin/groups"
# The program's libraries, and the loader, at their paths.
ldd "$program" | sed -n 's/.*=> \(\/[^ ]*\) .*/\1/p; s/^[[:space:]]*\(\/[^ ]*\) .*/\1/p' | while read -r library; do
    mkdir -p "$tree$(dirname "$library")"
    cp -L "$library" "$tree$library"
done
cat >"$tree/init" <<'INIT'
#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sys /sys
/bin/busybox mount -t cgroup2 cgroup /sys/fs/cgroup
/bin/groups
/bin/busybox poweroff -f
INIT
chmod 755 "$tree/init"
(cd "$tree" && find . -print0 | cpio --null --quiet -o -H newc --owner 0:0) | gzip -1 >"$work/initrd"
timeout 240 qemu-system-x86_64 -accel tcg -m 512 -smp 2 -display none -nodefaults -no-reboot -serial stdio \
    -kernel "$linux/vmlinuz" -initrd "$work/initrd" -append "console=ttyS0 quiet panic=-1 rdinit=/init" </dev/null | tee "$work/log"
grep -q "GROUPS all is well" "$work/log"
