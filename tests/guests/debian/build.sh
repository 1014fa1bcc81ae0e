#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# usage: build.sh OUTDIR
# Makes OUTDIR/disk.qcow2: a Debian 12 server with systemd, PostgreSQL (with checksums), Redis, nginx, cloud-init and the guest agent, which BIOS and
# UEFI can boot; OUTDIR/download.sha256, of the file that nginx serves; OUTDIR/pgbench and OUTDIR/pg_checksums, which Debian has only in the package of the
# server, and this machine wants no server. Packages come from its own apt sources. Does nothing if OUTDIR was made from the same list and kernel.
set -Eeuo pipefail
[ $# -eq 1 ] || {
    echo "usage: build.sh OUTDIR" >&2
    exit 2
}
mkdir -p "$1"
outdir=$(cd "$1" && pwd)
here=$(cd "$(dirname "$0")" && pwd)
image_name="debian guest"
# shellcheck source=tests/tools/debian-image.sh
. "$here/../../tools/debian-image.sh"
packages=$(image_list <"$here/packages.txt")
sources=$(cat "$here/build.sh" "$here/packages.txt" "$here"/image/* "$here"/../../tools/debian-image* | sha256sum | cut -d' ' -f1)
image_begin "$outdir" linux-image-cloud-amd64 "$sources" "systemd postgresql-15 redis-server" disk.qcow2 download.sha256 pgbench pg_checksums

# The partitions, in sectors of 512 bytes: GRUB's own, UEFI's, and the root.
bios_at=2048 bios_size=2048
efi_at=4096 efi_size=32768
root_at=36864 root_size=4194304
download_mib=48
# What this machine can have, of the kernel's; others would be tried for nothing at each boot.
module_folders="fs/ext4 fs/jbd2 fs/autofs fs/fat fs/isofs fs/nls net drivers/net/virtio_net.ko drivers/net/net_failover.ko drivers/virtio drivers/block/virtio_blk.ko
    drivers/scsi/virtio_scsi.ko drivers/scsi/sd_mod.ko drivers/scsi/sr_mod.ko drivers/char/hw_random drivers/char/virtio_console.ko drivers/acpi drivers/input/evdev.ko
    crypto lib arch/x86/crypto"
grub_modules="part_gpt ext2 search search_label configfile normal linux serial terminal echo boot"

configure() {
    install -m 644 "$here/image/fstab" "$tree/etc/fstab"
    install -m 644 "$here/image/90-lab.network" "$tree/etc/systemd/network/"
    install -m 644 "$here/image/ready.service" "$tree/etc/systemd/system/ready.service"
    install -m 644 "$here/image/cloud.cfg" "$tree/etc/cloud/cloud.cfg.d/90-guest.cfg"
    install -m 644 "$here/image/postgresql.conf" "$tree/etc/postgresql/15/main/conf.d/guest.conf"
    echo "host all all samenet trust" >>"$tree/etc/postgresql/15/main/pg_hba.conf"
    cat "$here/image/redis.conf" >>"$tree/etc/redis/redis.conf"
    echo debian >"$tree/etc/hostname"
    chroot "$tree" systemctl -q enable ready.service systemd-networkd.service serial-getty@ttyS0.service
    # As those that image_install leaves out.
    chroot "$tree" systemctl -q mask cloud-config.service cloud-final.service cloud-init-hotplugd.socket logrotate.timer systemd-sysusers.service systemd-firstboot.service systemd-repart.service \
        systemd-pcrphase.service systemd-pcrphase-sysinit.service systemd-update-utmp.service systemd-update-utmp-runlevel.service \
        systemd-machine-id-commit.service systemd-modules-load.service systemd-tmpfiles-clean.timer
    # Its first boot is as its next ones: nothing is to be brought up to date.
    touch "$tree/etc/.updated" "$tree/var/.updated"
    # The same bytes in each image, which nobody can compress.
    openssl enc -aes-128-ctr -K 00000000000000000000000000000001 -iv 0 -in /dev/zero 2>/dev/null | head -c ${download_mib}M >"$tree/var/www/html/download" || true
    (cd "$tree/var/www/html" && sha256sum download) >"$work/download.sha256"
    install -m 644 "$work/$kernel/boot/vmlinuz-$release" "$tree/boot/vmlinuz"
    install -m 644 "$work/initrd" "$tree/boot/initrd"
    mkdir -p "$tree/boot/grub"
    install -m 644 "$here/image/grub.cfg" "$tree/boot/grub/grub.cfg"
}

# put FILE SECTOR: into the disk
put() { dd if="$1" of="$work/disk.raw" bs=512 seek="$2" conv=notrunc,sparse status=none; }
# number VALUE FILE OFFSET: eight bytes, little endian
number() {
    local at text=
    for ((at = 0; at < 64; at += 8)); do
        text+=$(printf '\\x%02x' $((($1 >> at) & 255)))
    done
    # shellcheck disable=SC2059 # the text is the format
    printf "$text" | dd of="$2" bs=1 seek="$3" conv=notrunc status=none
}

# GRUB is put where grub-install would: its first sector says where its second is, and that one where the rest is.
install_grub() {
    cp "$here/image/grub-find.cfg" "$tree/tmp/grub-find.cfg"
    # shellcheck disable=SC2086 # the modules are a list
    chroot "$tree" grub-mkimage -O i386-pc -p /boot/grub -c /tmp/grub-find.cfg -o /tmp/core.img biosdisk $grub_modules
    # shellcheck disable=SC2086
    chroot "$tree" grub-mkimage -O x86_64-efi -p /boot/grub -c /tmp/grub-find.cfg -o /tmp/bootx64.efi $grub_modules
    mv "$tree/tmp/core.img" "$tree/tmp/bootx64.efi" "$work/"
    rm "$tree/tmp/grub-find.cfg"
    [ "$(stat -c %s "$work/core.img")" -le $((bios_size * 512)) ] || fail "GRUB is larger than its partition"
    head -c 440 "$tree/usr/lib/grub/i386-pc/boot.img" >"$work/boot.img"
    number $bios_at "$work/boot.img" $((0x5c))
    number $((bios_at + 1)) "$work/core.img" $((0x1f4))
}

make_disk() {
    truncate -s $(((root_at + root_size + 2048) * 512)) "$work/disk.raw"
    /sbin/sfdisk -q "$work/disk.raw" <<TABLE
label: gpt
start=$bios_at, size=$bios_size, type=21686148-6449-6E6F-744E-656564454649
start=$efi_at, size=$efi_size, type=U
start=$root_at, size=$root_size, type=L
TABLE
    put "$work/boot.img" 0
    put "$work/core.img" $bios_at
    truncate -s $((efi_size * 512)) "$work/efi.img"
    /sbin/mkfs.vfat -n EFI "$work/efi.img" >/dev/null
    mmd -i "$work/efi.img" ::EFI ::EFI/BOOT
    mcopy -i "$work/efi.img" "$work/bootx64.efi" ::EFI/BOOT/BOOTX64.EFI
    put "$work/efi.img" $efi_at
    /sbin/mkfs.ext4 -q -F -d "$tree" -L root -m 0 -E lazy_itable_init=1,lazy_journal_init=1 "$work/root.img" $((root_size / 2))k >/dev/null
    put "$work/root.img" $root_at
    qemu-img convert -f raw -O qcow2 "$work/disk.raw" "$work/disk.qcow2"
}

started=$SECONDS
image_kernel
# Data checksums are chosen when a cluster is made.
image_install "$packages" --customize-hook='chroot "$1" pg_dropcluster 15 main' \
    --customize-hook='chroot "$1" pg_createcluster --locale C.UTF-8 15 main -- --data-checksums >/dev/null'
echo "$image_name: Debian is unpacked after $((SECONDS - started)) s"
# shellcheck disable=SC2086 # the folders are a list
image_modules $module_folders
image_initrd virtio_pci virtio_blk crc32c_generic ext4
configure
install_grub
make_disk
cp "$tree/usr/lib/postgresql/15/bin/pgbench" "$tree/usr/lib/postgresql/15/bin/pg_checksums" "$work/"
image_end disk.qcow2 download.sha256 pgbench pg_checksums
echo "$image_name: made in $((SECONDS - started)) s, the disk holds $(du -m "$outdir/disk.qcow2" | cut -f1) MB"
