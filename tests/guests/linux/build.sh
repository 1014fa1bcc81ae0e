#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# usage: build.sh OUTDIR
# Makes OUTDIR/vmlinuz and OUTDIR/initrd: Debian's cloud kernel, busybox and the programs of this directory; and OUTDIR/guest-agent, a piece of an
# initrd that adds qemu-guest-agent when it is put behind the other. Downloads
# packages with apt (nothing is installed). Does nothing if OUTDIR was made from the same sources and kernel version.
set -eu
[ $# -eq 1 ] || {
    echo "usage: build.sh OUTDIR" >&2
    exit 2
}
mkdir -p "$1"
outdir=$(cd "$1" && pwd)
here=$(cd "$(dirname "$0")" && pwd)
modules="virtio_pci virtio_blk virtio_net virtio-rng virtio_balloon virtio_console virtio_scsi sd_mod sr_mod isofs pvpanic-mmio ext4 button evdev"
cc=${CC:-gcc}

fail() {
    echo "linux guest: $*" >&2
    exit 1
}

find_kernel() {
    apt-cache depends linux-image-cloud-amd64 2>/dev/null |
        sed -n 's/^ *Depends: \(linux-image-[0-9].*-cloud-amd64.*\)$/\1/p' | head -n 1
}
# A fresh machine has no package lists.
update_lists() {
    echo "linux guest: updating apt's package lists"
    apt-get -q update >/dev/null || fail "apt-get update failed"
}

kernel_package=$(find_kernel)
sources=$(cat "$here"/*.c "$here"/*.h "$here/init" "$here"/guest-agent/* "$here/build.sh" | sha256sum | cut -d' ' -f1)
made_from=$(cat "$outdir/stamp" 2>/dev/null || :)
if [ -z "$kernel_package" ] && [ "${made_from%% *}" != "$sources" ]; then
    update_lists
    kernel_package=$(find_kernel)
    [ -n "$kernel_package" ] || fail "apt knows no linux-image-cloud-amd64"
fi
if [ -z "$kernel_package" ]; then
    echo "linux guest: $outdir kept, apt knows no kernel to compare with (${made_from#* })"
    exit 0
fi
kernel_version=$(apt-cache show --no-all-versions "$kernel_package" | sed -n 's/^Version: //p')
stamp="$sources $kernel_package $kernel_version"
if [ "$made_from" = "$stamp" ] && [ -f "$outdir/vmlinuz" ] && [ -f "$outdir/initrd" ] && [ -f "$outdir/guest-agent" ]; then
    echo "linux guest: $outdir is up to date ($kernel_package $kernel_version)"
    exit 0
fi

work=$(mktemp -d "$outdir/work-XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

# fetch PACKAGE: unpack it below $work/PACKAGE
fetch() {
    echo "linux guest: downloading $1"
    mkdir -p "$work/debs"
    if ! (cd "$work/debs" && apt-get -q -o APT::Sandbox::User=root download "$1"); then
        # The lists may be older than what the archive still has.
        update_lists
        (cd "$work/debs" && apt-get -q -o APT::Sandbox::User=root download "$1") || fail "cannot download $1"
    fi
    dpkg-deb -x "$work/debs/${1}"_*.deb "$work/$1"
}

fetch "$kernel_package"
fetch busybox-static
tree=$work/tree
mkdir -p "$tree/bin" "$tree/modules" "$tree/dev"

for program in webd powerd dirtier diskd; do
    sources=$here/$program.c
    case $program in
    dirtier | diskd) sources="$sources $here/figures.c" ;;
    esac
    # shellcheck disable=SC2086 # the sources are a list
    "$cc" -std=gnu17 -D_GNU_SOURCE -O2 -Wall -Wextra -Werror -static -s -o "$tree/bin/$program" $sources
done
cp "$work/busybox-static/bin/busybox" "$tree/bin/busybox"
install -m 755 "$here/init" "$tree/init"

release=$(ls "$work/$kernel_package/lib/modules")
/sbin/depmod -b "$work/$kernel_package" "$release"
for module in $modules; do
    /sbin/modprobe --dirname "$work/$kernel_package" --set-version "$release" --show-depends "$module" ||
        fail "no module $module in $kernel_package"
done | sed -n 's/^insmod \([^ ]*\).*/\1/p' | awk '!seen[$0]++' >"$work/order"
[ -s "$work/order" ] || fail "no modules found in $kernel_package"
while read -r path; do
    cp "$path" "$tree/modules/"
    basename "$path"
done <"$work/order" >"$tree/modules/order"

pack() {
    (cd "$1" && find . -print0 | LC_ALL=C sort -z | cpio --null --quiet -o -H newc --owner 0:0 --reproducible) | gzip -9n
}
pack "$tree" >"$work/initrd"

# Its libraries are this machine's, which has the same Debian.
fetch qemu-guest-agent
agent=$work/agent
mkdir -p "$agent/bin" "$agent/hooks" "$agent/etc/godwit"
mkdir -p "$agent/sbin"
ln -s ../bin/busybox "$agent/sbin/hwclock"
cp "$work/qemu-guest-agent/usr/sbin/qemu-ga" "$agent/bin/qemu-ga"
install -m 755 "$here/guest-agent/start" "$agent/hooks/guest-agent"
install -m 755 "$here/guest-agent/migration-notice" "$agent/etc/godwit/migration-notice"
ldd "$agent/bin/qemu-ga" | sed -n 's/.* => \(\/[^ ]*\) .*/\1/p; s/^[[:space:]]*\(\/[^ ]*\) .*/\1/p' >"$work/libraries"
! ldd "$agent/bin/qemu-ga" | grep "not found" || fail "qemu-guest-agent needs a library that is not here"
while read -r library; do
    mkdir -p "$agent$(dirname "$library")"
    cp -L "$library" "$agent$library"
done <"$work/libraries"
pack "$agent" >"$work/guest-agent"
cp "$work/$kernel_package/boot/vmlinuz-$release" "$work/vmlinuz"
rm -f "$outdir/stamp"
mv "$work/vmlinuz" "$work/initrd" "$work/guest-agent" "$outdir/"
echo "$stamp" >"$outdir/stamp"
echo "linux guest: $outdir made from $kernel_package $kernel_version"
