#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# usage: build.sh OUTDIR
# Makes OUTDIR/root.img, OUTDIR/vmlinuz and OUTDIR/initrd: a Debian 12 host with systemd, QEMU and what the README tells an operator to
# install, but no Godwit. Packages come from this machine's own apt sources. Does nothing if OUTDIR was made from the same list and kernel.
set -Eeuo pipefail
shopt -s inherit_errexit
[ $# -eq 1 ] || {
    echo "usage: build.sh OUTDIR" >&2
    exit 2
}
mkdir -p "$1"
outdir=$(cd "$1" && pwd)
here=$(cd "$(dirname "$0")" && pwd)
# The disk is sparse: only what is written to it takes room.
disk_size=4G
# What these hosts can have, and what the tests load: the rest of a kernel's 400 MB of modules drives hardware that they do not have.
module_folders="fs/ext4 fs/jbd2 fs/fuse fs/9p fs/nfs fs/nfs_common fs/nfsd fs/lockd fs/netfs fs/fscache fs/autofs fs/overlayfs fs/configfs
    fs/nls net/802 net/8021q net/9p net/bridge net/core net/dns_resolver net/ipv4 net/ipv6 net/key net/llc net/netfilter net/netlink
    net/packet net/sched net/sunrpc net/unix net/vmw_vsock net/xfrm drivers/net/tap.ko drivers/net/tun.ko drivers/net/virtio_net.ko drivers/net/net_failover.ko drivers/net/veth.ko
    drivers/net/dummy.ko drivers/net/bonding drivers/net/macvlan.ko drivers/vhost drivers/virtio drivers/block/virtio_blk.ko
    drivers/block/loop.ko drivers/char/hw_random drivers/acpi drivers/input/evdev.ko crypto lib arch/x86/crypto"
# What is needed to mount the disk; all else is loaded by udev from the disk.
early_modules="virtio_pci virtio_blk crc32c_generic ext4"

fail() {
    echo "hosts: $*" >&2
    exit 1
}

find_kernel() { apt-cache depends linux-image-amd64 2>/dev/null | sed -n 's/^ *Depends: \(linux-image-[0-9].*\)$/\1/p' | head -n 1; }
version_of() { apt-cache show --no-all-versions "$1" | sed -n 's/^Version: //p'; }
# The group that the README tells an operator to install on a host, and no more of ours: so the list is proved to be whole.
packages=$(sed -n '/^# run$/,/^# guests$/p' "$here/../../scripts/packages.txt" | cat - "$here/packages.txt" | sed -e '/^#/d' -e '/^ *$/d' | sort -u)
sources=$(cat "$here/build.sh" "$here"/image/* - <<<"$packages" | sha256sum | cut -d' ' -f1)
kernel=$(find_kernel)
made_from=$(cat "$outdir/stamp" 2>/dev/null || true)
if [ -z "$kernel" ]; then
    if [ "${made_from%% *}" = "$sources" ]; then
        echo "hosts: $outdir kept, apt knows no kernel to compare with (${made_from#* })"
        exit 0
    fi
    apt-get -q update >/dev/null || fail "apt-get update failed"
    kernel=$(find_kernel)
    [ -n "$kernel" ] || fail "apt knows no linux-image-amd64"
fi
stamp="$sources $kernel $(version_of "$kernel") QEMU $(version_of qemu-system-x86) systemd $(version_of systemd)"
if [ "$made_from" = "$stamp" ] && [ -f "$outdir/root.img" ] && [ -f "$outdir/vmlinuz" ] && [ -f "$outdir/initrd" ]; then
    echo "hosts: $outdir is up to date (${stamp#* })"
    exit 0
fi
[ "$(id -u)" = 0 ] || fail "making the image needs root"

work=$(mktemp -d "$outdir/work-XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
tree=$work/tree

fetch() {
    mkdir -p "$work/debs"
    if ! (cd "$work/debs" && apt-get -q -o APT::Sandbox::User=root download "$1" >/dev/null); then
        # The lists may be older than what the archive still has.
        apt-get -q update >/dev/null || fail "apt-get update failed"
        (cd "$work/debs" && apt-get -q -o APT::Sandbox::User=root download "$1" >/dev/null) || fail "cannot download $1"
    fi
    dpkg-deb -x "$work/debs/${1}"_*.deb "$work/$1"
}

install_debian() {
    local mirrors=() path
    for path in /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources; do
        [ -s "$path" ] && mirrors+=("$path")
    done
    # How this machine reaches its archive: proxies, and whether dates are believed.
    apt-config dump | grep -E '^Acquire::(http|https|ftp|Retries|Check-Valid-Until|Check-Date)[ :].*"[^"]+";$' >"$work/apt.conf" || true
    mmdebstrap --mode=root --variant=minbase --quiet --aptopt="$work/apt.conf" \
        --aptopt='Apt::Install-Recommends "false"' --include="$(tr '\n' ',' <<<"$packages" | sed 's/,*$//')" \
        --dpkgopt=force-unsafe-io --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
        --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/info/*' \
        bookworm "$tree" "${mirrors[@]}" >"$work/mmdebstrap.log" 2>&1 || {
        tail -n 30 "$work/mmdebstrap.log" >&2
        fail "mmdebstrap failed"
    }
}

install_modules() {
    local from=$work/$kernel/lib/modules/$release to=$tree/lib/modules/$release folders
    folders=$(printf 'kernel/%s\n' $module_folders | paste -sd'|')
    /sbin/depmod -b "$work/$kernel" "$release"
    mkdir -p "$to"
    # The kernel's own list names with each module all that it needs.
    grep -E "^($folders)" "$from/modules.dep" | tr -d : | tr ' ' '\n' | sort -u >"$work/modules"
    tar -C "$from" -c -T "$work/modules" | tar -C "$to" -x
    cp "$from"/modules.builtin* "$from/modules.order" "$to/"
    /sbin/depmod -b "$tree" "$release"
    install -m 644 "$work/$kernel/boot/config-$release" "$tree/boot/"
}

# A host as it comes from an installer: a root shell on the control network, three network cards with names that say their purpose.
configure() {
    local file
    install -m 755 "$here/image/control" "$tree/usr/local/sbin/lane-control"
    install -m 644 "$here/image/lane-control.socket" "$here/image/lane-control@.service" "$tree/etc/systemd/system/"
    for file in "$here"/image/*.link "$here"/image/*.network; do
        install -m 644 "$file" "$tree/etc/systemd/network/"
    done
    install -m 644 "$here/image/fstab" "$tree/etc/fstab"
    : >"$tree/etc/machine-id"
    rm -f "$tree/etc/resolv.conf"
    chroot "$tree" passwd -q -d root
    chroot "$tree" systemctl -q enable lane-control.socket systemd-networkd.service serial-getty@ttyS0.service
    chroot "$tree" systemctl -q set-default multi-user.target
    # Nothing here needs them, and each costs a second and more of a boot under TCG.
    chroot "$tree" systemctl -q mask systemd-networkd-wait-online.service systemd-binfmt.service proc-sys-fs-binfmt_misc.automount \
        sys-kernel-debug.mount sys-kernel-tracing.mount dev-hugepages.mount dev-mqueue.mount systemd-pstore.service systemd-logind.service \
        modprobe@configfs.service modprobe@dm_mod.service modprobe@drm.service modprobe@efi_pstore.service modprobe@fuse.service modprobe@loop.service \
        sys-fs-fuse-connections.mount sys-kernel-config.mount systemd-network-generator.service systemd-random-seed.service kmod-static-nodes.service \
        apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer e2scrub_reap.service dpkg-db-backup.timer fstrim.timer getty@tty1.service \
        nfs-blkmap.service
    # Started by the step that shares a folder.
    chroot "$tree" systemctl -q disable nfs-client.target nfs-server.service rpcbind.service rpcbind.socket
}

make_initrd() {
    local tree=$work/early path
    mkdir -p "$tree/bin" "$tree/modules" "$tree/dev" "$tree/proc" "$tree/sys" "$tree/root"
    cp "$work/busybox-static/bin/busybox" "$tree/bin/busybox"
    install -m 755 "$here/image/init" "$tree/init"
    for path in $early_modules; do
        /sbin/modprobe --dirname "$work/tree" --set-version "$release" --show-depends "$path" || fail "no module $path in $kernel"
    done | sed -n 's/^insmod \([^ ]*\).*/\1/p' | awk '!seen[$0]++' >"$work/order"
    [ -s "$work/order" ] || fail "no modules found in $kernel"
    while read -r path; do
        cp "$path" "$tree/modules/"
        basename "$path"
    done <"$work/order" >"$tree/modules/order"
    # Not compressed: it is loaded from this machine's page cache, and unpacking it would be work for TCG.
    (cd "$tree" && find . -print0 | LC_ALL=C sort -z | cpio --null --quiet -o -H newc --owner 0:0 --reproducible) >"$work/initrd"
}

started=$SECONDS
echo "hosts: making $outdir from ${stamp#* }"
fetch "$kernel"
fetch busybox-static
release=$(ls "$work/$kernel/lib/modules")
install_debian
echo "hosts: Debian is unpacked after $((SECONDS - started)) s"
install_modules
configure
make_initrd
/sbin/mkfs.ext4 -q -F -d "$tree" -L root -m 0 -E lazy_itable_init=1,lazy_journal_init=1 "$work/root.img" "$disk_size" >/dev/null
cp "$work/$kernel/boot/vmlinuz-$release" "$work/vmlinuz"
rm -f "$outdir/stamp"
mv "$work/root.img" "$work/vmlinuz" "$work/initrd" "$outdir/"
echo "$stamp" >"$outdir/stamp"
echo "hosts: made in $((SECONDS - started)) s, the disk holds $(du -m "$outdir/root.img" | cut -f1) MB"
