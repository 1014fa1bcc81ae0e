#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# usage: build.sh OUTDIR
# Makes OUTDIR/root.img, OUTDIR/vmlinuz and OUTDIR/initrd: a Debian 12 host with systemd, QEMU and what the README tells an operator to
# install, but no Godwit. Packages come from this machine's own apt sources. Does nothing if OUTDIR was made from the same list and kernel.
set -Eeuo pipefail
[ $# -eq 1 ] || {
    echo "usage: build.sh OUTDIR" >&2
    exit 2
}
mkdir -p "$1"
outdir=$(cd "$1" && pwd)
here=$(cd "$(dirname "$0")" && pwd)
image_name=hosts
# shellcheck source=tests/tools/debian-image.sh
. "$here/../tools/debian-image.sh"
# The disk is sparse: only what is written to it takes room.
disk_size=4G
# What these hosts can have, and what the tests load: the rest of a kernel's 400 MB of modules drives hardware that they do not have.
module_folders="fs/ext4 fs/jbd2 fs/fuse fs/9p fs/nfs fs/nfs_common fs/nfsd fs/lockd fs/netfs fs/fscache fs/autofs fs/overlayfs fs/configfs
    fs/nls net/802 net/8021q net/9p net/bridge net/core net/dns_resolver net/ipv4 net/ipv6 net/key net/llc net/netfilter net/netlink
    net/packet net/sched net/sunrpc net/unix net/vmw_vsock net/xfrm drivers/net/tap.ko drivers/net/tun.ko drivers/net/virtio_net.ko drivers/net/net_failover.ko drivers/net/veth.ko
    drivers/net/dummy.ko drivers/net/bonding drivers/net/macvlan.ko drivers/vhost drivers/virtio drivers/block/virtio_blk.ko
    drivers/block/loop.ko drivers/char/hw_random drivers/acpi drivers/input/evdev.ko crypto lib arch/x86/crypto"

# The group that the README tells an operator to install on a host, and no more of ours: so the list is proved to be whole.
packages=$(sed -n '/^# run$/,/^# guests$/p' "$here/../../scripts/packages.txt" | cat - "$here/packages.txt" | image_list)
sources=$(cat "$here/build.sh" "$here"/image/* "$here"/../tools/debian-image* - <<<"$packages" | sha256sum | cut -d' ' -f1)
image_begin "$outdir" linux-image-amd64 "$sources" "qemu-system-x86 systemd" root.img vmlinuz initrd

# A host as it comes from an installer: a root shell on the control network, three network cards with names that say their purpose.
configure() {
    local file
    install -m 755 "$here/image/control" "$tree/usr/local/sbin/lane-control"
    install -m 644 "$here/image/lane-control.socket" "$here/image/lane-control@.service" "$tree/etc/systemd/system/"
    for file in "$here"/image/*.link "$here"/image/*.network; do
        install -m 644 "$file" "$tree/etc/systemd/network/"
    done
    install -m 644 "$here/image/fstab" "$tree/etc/fstab"
    chroot "$tree" systemctl -q enable lane-control.socket systemd-networkd.service serial-getty@ttyS0.service
    # As those that image_install leaves out.
    chroot "$tree" systemctl -q mask systemd-logind.service nfs-blkmap.service
    # Started by the step that shares a folder.
    chroot "$tree" systemctl -q disable nfs-client.target nfs-server.service rpcbind.service rpcbind.socket
}

started=$SECONDS
image_kernel
image_install "$packages"
echo "hosts: Debian is unpacked after $((SECONDS - started)) s"
# shellcheck disable=SC2086 # the folders are a list
image_modules $module_folders
configure
image_initrd virtio_pci virtio_blk crc32c_generic ext4
/sbin/mkfs.ext4 -q -F -d "$tree" -L root -m 0 -E lazy_itable_init=1,lazy_journal_init=1 "$work/root.img" "$disk_size" >/dev/null
cp "$work/$kernel/boot/vmlinuz-$release" "$work/vmlinuz"
image_end root.img vmlinuz initrd
echo "hosts: made in $((SECONDS - started)) s, the disk holds $(du -m "$outdir/root.img" | cut -f1) MB"
