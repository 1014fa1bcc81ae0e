/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The destination's part of moving disks: its QEMU, which waits for the guest, takes what is written to the
 * new images, over NBD on a unix socket to which only the agent can connect. It stops before the guest may
 * run, so an image has one writer at each moment. Main-loop thread.
 */
#ifndef AGENT_DISK_EXPORT_H
#define AGENT_DISK_EXPORT_H

#include "agent/vm.h"
#include "model/move.h"

/* Done when QEMU takes connections. */
void disk_export_begin(struct vm *vm, const struct move_disk *disks, uint32_t n_disks, vm_done done,
                       void *user);
/* A connection to it, of which the caller takes one for each disk; -1 on failure. */
int disk_export_connect(const struct vm *vm, struct err *err);
/* Done when nobody but QEMU itself has the images. */
void disk_export_end(struct vm *vm, vm_done done, void *user);

#endif
