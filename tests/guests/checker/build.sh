#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# usage: build.sh OUTPUT WORKDIR SOURCE...
# Builds the self-checking guest with the host's gcc. It is 64-bit code in a 32-bit ELF, the only kind that QEMU's
# multiboot loader takes.
set -eu
output=$1
workdir=$2
shift 2
cc=${CC:-gcc}
mkdir -p "$workdir"
script=
objects=
for source in "$@"; do
    object=$workdir/$(basename "$source").o
    case $source in
    *.ld)
        script=$source
        continue
        ;;
    # shellcheck disable=SC2086 # none, one or more flags
    *.S) "$cc" ${BOOT_FLAGS:-} -c "$source" -o "$object" ;;
    *)
        "$cc" -std=gnu17 -O2 -Wall -Wextra -Werror -ffreestanding -fno-pie -fno-stack-protector -fcf-protection=none \
            -fno-asynchronous-unwind-tables -fno-tree-loop-distribute-patterns -mno-red-zone -mgeneral-regs-only \
            -I"${INCLUDE:-.}" -c "$source" -o "$object"
        ;;
    esac
    objects="$objects $object"
done
# shellcheck disable=SC2086 # the objects are a list
"${LD:-ld}" -n -z noexecstack -z max-page-size=4096 --no-warn-rwx-segments -T "$script" -o "$workdir/checker64.elf" $objects
"${OBJCOPY:-objcopy}" -O elf32-i386 "$workdir/checker64.elf" "$output"
