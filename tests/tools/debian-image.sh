# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# For recipes that make a Debian 12 machine from packages of this machine's own apt sources, without booting it. Source it with image_name set to
# what messages begin with. image_begin first; then $work is a scratch folder that goes with the recipe, $tree the root of the machine, $kernel the
# package of its kernel, and, once image_kernel has fetched that, $release its version as `uname -r` says it.
set -Eeuo pipefail
shopt -s inherit_errexit
image_stamp='' image_out=''

fail() {
    echo "$image_name: $*" >&2
    exit 1
}
image_find_kernel() { apt-cache depends "$1" 2>/dev/null | sed -n 's/^ *Depends: \(linux-image-[0-9].*\)$/\1/p' | head -n 1; }
image_version_of() { apt-cache show --no-all-versions "$1" | sed -n 's/^Version: //p'; }
# A list of packages without its comments.
image_list() { sed -e '/^#/d' -e '/^ *$/d' | sort -u; }

# image_begin OUTDIR KERNEL SOURCES "PACKAGE…" FILE…: ends the recipe if OUTDIR has these files, made from the same SOURCES (a hash), the same kernel,
# which is the newest of the metapackage KERNEL, and the same versions of the packages.
image_begin() {
    local outdir=$1 meta=$2 sources=$3 versions=$4 made_from package file whole=1
    shift 4
    made_from=$(cat "$outdir/stamp" 2>/dev/null || true)
    kernel=$(image_find_kernel "$meta")
    if [ -z "$kernel" ]; then
        if [ "${made_from%% *}" = "$sources" ]; then
            echo "$image_name: $outdir kept, apt knows no kernel to compare with (${made_from#* })"
            exit 0
        fi
        apt-get -q update >/dev/null || fail "apt-get update failed"
        kernel=$(image_find_kernel "$meta")
        [ -n "$kernel" ] || fail "apt knows no $meta"
    fi
    image_stamp="$sources $kernel $(image_version_of "$kernel")"
    for package in $versions; do
        image_stamp+=" $package $(image_version_of "$package")"
    done
    for file in "$@"; do
        [ -f "$outdir/$file" ] || whole=0
    done
    if [ "$made_from" = "$image_stamp" ] && [ $whole = 1 ]; then
        echo "$image_name: $outdir is up to date (${image_stamp#* })"
        exit 0
    fi
    [ "$(id -u)" = 0 ] || fail "making the image needs root"
    image_out=$outdir
    work=$(mktemp -d "$outdir/work-XXXXXX")
    # Nothing that a cut off installation left mounted below may be emptied.
    trap 'rm -rf --one-file-system "$work"' EXIT
    trap 'exit 1' HUP INT TERM
    tree=$work/tree
    echo "$image_name: making $outdir from ${image_stamp#* }"
}

# image_end FILE…: these files of $work are the result
image_end() {
    local file
    rm -f "$image_out/stamp"
    for file in "$@"; do
        mv "$work/$file" "$image_out/"
    done
    echo "$image_stamp" >"$image_out/stamp"
}

# image_fetch PACKAGE: unpacks it below $work/PACKAGE
image_fetch() {
    mkdir -p "$work/debs"
    if ! (cd "$work/debs" && apt-get -q -o APT::Sandbox::User=root download "$1" >/dev/null); then
        # The lists may be older than what the archive still has.
        apt-get -q update >/dev/null || fail "apt-get update failed"
        (cd "$work/debs" && apt-get -q -o APT::Sandbox::User=root download "$1" >/dev/null) || fail "cannot download $1"
    fi
    dpkg-deb -x "$work/debs/${1}"_*.deb "$work/$1"
}

# image_install PACKAGES [OPTION…]: a minimal Debian with these packages (one a line) in $tree; options are mmdebstrap's
image_install() {
    local packages=$1 mirrors=() path
    shift
    for path in /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources; do
        [ -s "$path" ] && mirrors+=("$path")
    done
    # How this machine reaches its archive: proxies, and whether dates are believed.
    apt-config dump | grep -E '^Acquire::(http|https|ftp|Retries|Check-Valid-Until|Check-Date)[ :].*"[^"]+";$' >"$work/apt.conf" || true
    # Its mounts end with its mount namespace, however it ends.
    unshare --mount --propagation private mmdebstrap --mode=root --variant=minbase --quiet --aptopt="$work/apt.conf" \
        --aptopt='Apt::Install-Recommends "false"' --include="$(tr '\n' ',' <<<"$packages" | sed 's/,*$//')" \
        --dpkgopt=force-unsafe-io --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
        --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/info/*' "$@" \
        bookworm "$tree" "${mirrors[@]}" >"$work/mmdebstrap.log" 2>&1 || {
        tail -n 30 "$work/mmdebstrap.log" >&2
        fail "mmdebstrap failed"
    }
    # A machine makes up its own number with its first boot.
    : >"$tree/etc/machine-id"
    rm -f "$tree/etc/resolv.conf"
    chroot "$tree" passwd -q -d root
    chroot "$tree" systemctl -q set-default multi-user.target
    # Nothing in a test needs them, and each costs a second and more of a boot under TCG.
    chroot "$tree" systemctl -q mask systemd-networkd-wait-online.service systemd-binfmt.service proc-sys-fs-binfmt_misc.automount \
        sys-kernel-debug.mount sys-kernel-tracing.mount dev-hugepages.mount dev-mqueue.mount systemd-pstore.service \
        modprobe@configfs.service modprobe@dm_mod.service modprobe@drm.service modprobe@efi_pstore.service modprobe@fuse.service modprobe@loop.service \
        sys-fs-fuse-connections.mount sys-kernel-config.mount systemd-network-generator.service systemd-random-seed.service kmod-static-nodes.service \
        apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer e2scrub_reap.service dpkg-db-backup.timer fstrim.timer getty@tty1.service
}

# image_kernel: fetches the kernel
image_kernel() {
    image_fetch "$kernel"
    release=$(ls "$work/$kernel/lib/modules")
    /sbin/depmod -b "$work/$kernel" "$release"
}

# image_modules FOLDER…: the modules below these folders of the kernel's, and what they need, into $tree
image_modules() {
    local from=$work/$kernel/lib/modules/$release to=$tree/lib/modules/$release folders
    folders=$(printf 'kernel/%s\n' "$@" | paste -sd'|')
    mkdir -p "$to"
    # The kernel's own list names with each module all that it needs.
    grep -E "^($folders)" "$from/modules.dep" | tr -d : | tr ' ' '\n' | sort -u >"$work/modules"
    tar -C "$from" -c -T "$work/modules" | tar -C "$to" -x
    cp "$from"/modules.builtin* "$from/modules.order" "$to/"
    /sbin/depmod -b "$tree" "$release"
    install -m 644 "$work/$kernel/boot/config-$release" "$tree/boot/"
}

# image_initrd MODULE…: $work/initrd, which loads these and mounts root=; all else is loaded by udev from the disk
image_initrd() {
    local early=$work/early path
    image_fetch busybox-static
    mkdir -p "$early/bin" "$early/modules" "$early/dev" "$early/proc" "$early/sys" "$early/root"
    cp "$work/busybox-static/bin/busybox" "$early/bin/busybox"
    install -m 755 "$(dirname "${BASH_SOURCE[0]}")/debian-image-init" "$early/init"
    for path in "$@"; do
        /sbin/modprobe --dirname "$work/tree" --set-version "$release" --show-depends "$path" || fail "no module $path in $kernel"
    done | sed -n 's/^insmod \([^ ]*\).*/\1/p' | awk '!seen[$0]++' >"$work/order"
    [ -s "$work/order" ] || fail "no modules found in $kernel"
    while read -r path; do
        cp "$path" "$early/modules/"
        basename "$path"
    done <"$work/order" >"$early/modules/order"
    # Not compressed: it is loaded from this machine's page cache, and unpacking it would be work for TCG.
    (cd "$early" && find . -print0 | LC_ALL=C sort -z | cpio --null --quiet -o -H newc --owner 0:0 --reproducible) >"$work/initrd"
}
