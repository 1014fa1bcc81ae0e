/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The disks of a VM change while it lives: an image is made and attached, attached, detached, made larger, a
 * CD is put in or taken out. Of a VM that is off the config file changes; of one that runs first its QEMU
 * (agent/disk_plug.h) and then the config file, which is the truth: an agent that was killed in between
 * brings QEMU back to it. While one of these is under way the VM is held (vm_check_free): it is not started,
 * moved, changed or removed. Main-loop thread; `done` is called once, with a VM or NULL if it has gone
 * meanwhile.
 */
#ifndef AGENT_VM_DISKS_H
#define AGENT_VM_DISKS_H

#include "agent/vm.h"
#include "model/vm_disks.h"

void vm_disks_add_wish(struct vm *vm, const struct vm_disk_wish *wish, vm_done done, void *user);
/* `disk` is a name or a label (vm_disks_find). The file is deleted after the VM has let it go. */
void vm_disks_detach(struct vm *vm, const char *disk, bool deletes_file, vm_done done, void *user);
void vm_disks_resize(struct vm *vm, const char *disk, uint64_t bytes, vm_done done, void *user);
/* NULL: the drive becomes empty. `force`: although the guest has locked it. */
void vm_disks_change_medium(struct vm *vm, const char *disk, const struct vm_disk *medium, bool force,
                            vm_done done, void *user);
/* QEMU gets what the config file says; nothing is to be done for a VM that is off or held. */
void vm_disks_reconcile(struct vm *vm, vm_done done, void *user);
/* A device has gone and nobody waited for that. */
void vm_disks_deleted(struct vm *vm, const char *device);
/* {"disks": [...]}, with what the images are; transfer full. */
JsonObject *vm_disks_list(const struct vm *vm);
/* Warnings of the last disk of the list, as a list of findings; transfer full. */
JsonArray *vm_disks_warnings(const struct vm *vm);

#endif
