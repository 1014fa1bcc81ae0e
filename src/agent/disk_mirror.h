/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The source's part of moving disks: its QEMU copies each disk to an image of the other host, over a stream
 * that somebody else carries there, and then what the guest writes meanwhile, until it stands. The images
 * here stay the guest's until the VM is given away: whatever happens to a copy, the guest goes on with them.
 *
 * Main-loop thread. Of each VM one at a time.
 */
#ifndef AGENT_DISK_MIRROR_H
#define AGENT_DISK_MIRROR_H

#include "agent/vm.h"
#include "model/move.h"

struct disk_mirror;

struct disk_mirror_config {
    struct vm *vm;
    const char *move_id;
    uint32_t n_disks;
    const struct move_disk *disks;
    const char *destination, *datastore; /* where they go, for errors */
    /* Once: a copy has ended before its time. The others go on until disk_mirror_abort. */
    void (*failed)(const struct err *err, void *user);
    /* disk_mirror_report has news. */
    void (*advanced)(void *user);
    void *user;
};
typedef void (*disk_mirror_done)(const struct err *err, void *user);

int disk_mirror_new(const struct disk_mirror_config *config, struct disk_mirror **ret_mirror,
                    struct err *err);
/* Makes QEMU connect for the `number`-th disk. `connected` gets the other end of its stream (borrowed), which
 * must be carried at once, since QEMU waits for what the other side says; `begun` follows when the copy
 * runs. On failure only `begun` is called. One at a time. */
void disk_mirror_begin(struct disk_mirror *mirror, uint32_t number, void (*connected)(int fd, void *user),
                       disk_mirror_done begun);
/* Done once all disks have been equal on both sides, but for what the guest has just written. */
void disk_mirror_await(struct disk_mirror *mirror, disk_mirror_done done);
/* The guest stands: done once all that it wrote is on the other host's storage, and QEMU here has nothing to
 * do with it any more. */
void disk_mirror_finish(struct disk_mirror *mirror, disk_mirror_done done);
void disk_mirror_report(const struct disk_mirror *mirror, struct move_status *status);
/* Calls nobody any more, lets go of the VM, and ends what still runs in QEMU: NULL ok. */
void disk_mirror_free(struct disk_mirror *mirror);

/* What a move whose agent was restarted may have left in QEMU. */
void disk_mirror_clear(struct vm *vm, const char *move_id);

/* REFUSED by QEMU or what its command line says: sizes of the disks, in `disks`, by their numbers. */
void disk_mirror_measure(struct vm *vm, struct move_disk *disks, uint32_t n_disks, vm_done done, void *user);

#endif
