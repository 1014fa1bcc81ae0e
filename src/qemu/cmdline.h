/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command line of stock QEMU for a VM. Source and destination build it from the same vm_spec, so that
 * both have the same devices, ids and addresses; only descriptor numbers and -incoming differ.
 *
 * Of a disk in slot N + 1 the names are "diskN" (the block node that its device uses), "diskN-file" (the node
 * below it) and "vdiskN" (its device); qemu/disk_device.h, which also serves disks that come while it runs.
 */
#ifndef QEMU_CMDLINE_H
#define QEMU_CMDLINE_H

#include <glib.h>
#include <stdbool.h>

#include "base/err.h"
#include "model/vm.h"

/* Descriptor numbers are those of the child. */
struct cmdline_config {
    const struct vm_spec *spec; /* machine and cpu_model filled in */
    const char *accel;          /* "kvm" or "tcg" */
    const char *data_dir;       /* -L, or "" */
    const char *uefi_code;      /* file of the firmware, for a VM with UEFI */
    bool incoming;
    int qmp_fd;         /* listening unix stream socket */
    int ram_fd;         /* memfd of the VM's memory size */
    int console_fd;     /* listening unix stream socket: what is typed */
    int console_log_fd; /* regular file, appended to: all that the guest writes */
    int guest_agent_fd; /* listening unix stream socket; -1: the spec has none */
    int kernel_fd;      /* -1: none */
    int initrd_fd;      /* -1: none */
    int tap_fds[VM_NICS_MAX];
    char disk_paths[VM_DISKS_MAX][MODEL_PATH_MAX]; /* where this host has each */
};

/* NULL-terminated argv (g_strfreev), argv[0] included. ERR_BAD_REQUEST if the spec names no machine or CPU.
 */
int cmdline_build(const struct cmdline_config *config, char ***ret_argv, struct err *err);

#endif
