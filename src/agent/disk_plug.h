/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Disks of a QEMU that runs, by QMP. What a VM has says its config file; these make QEMU have it. Each verb
 * is a few commands in their order. If one fails, QEMU is asked what it has and brought back to what the
 * config file says, before `done` gets the error. One at a time for each VM (agent/vm_disks.c sees to that).
 * Main-loop thread.
 */
#ifndef AGENT_DISK_PLUG_H
#define AGENT_DISK_PLUG_H

#include <json-glib/json-glib.h>

#include "agent/vm.h"

/* `spec` is what the VM will be, or was, and is not kept. Only SCSI disks and CD drives. */
void disk_plug_add(struct vm *vm, const struct vm_spec *spec, uint32_t i, vm_done done, void *user);
/* Done when the guest has let it go and its files are closed; REFUSED "disk-held-by-guest" if it does not in
 * time. */
void disk_plug_remove(struct vm *vm, const struct vm_spec *spec, uint32_t i, vm_done done, void *user);
/* Of a CD drive: what it has in `spec`, perhaps nothing, takes the place of what is in it. REFUSED
 * "cd-locked" if the guest keeps its tray shut, unless `force`. */
void disk_plug_change_medium(struct vm *vm, const struct vm_spec *spec, uint32_t i, bool force, vm_done done,
                             void *user);
void disk_plug_resize(struct vm *vm, uint32_t i, uint64_t bytes, vm_done done, void *user);
/* Brings QEMU to what the config file says, where an agent that was killed left it in between. */
void disk_plug_reconcile(struct vm *vm, vm_done done, void *user);
/* The event DEVICE_DELETED. False: nobody here waited for it. */
bool disk_plug_deleted(struct vm *vm, const char *device);

#endif
