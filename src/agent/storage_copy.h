/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A running VM's disks are copied to images that its own QEMU opens beside the old ones, one disk after the
 * other, while the guest writes; what it writes to those that are copied already follows. Once little is left
 * to follow, the guest is stopped, each disk goes over to its new image, and that is the end: the guest
 * stands, and what is so now, and whether it goes on, is storage_settle's. So is whatever a copy that failed
 * left in QEMU.
 *
 * Main-loop thread. Of each VM one at a time.
 */
#ifndef AGENT_STORAGE_COPY_H
#define AGENT_STORAGE_COPY_H

#include "agent/disk_images.h"
#include "agent/vm.h"

struct storage_copy;

struct storage_copy_config {
    struct vm *vm; /* runs; whoever sees it end frees the copy */
    const struct disk_images_here *here;
    const struct move_disk *disks; /* of the same order: their sizes */
    uint64_t bytes_s;              /* cap for all of them together; 0: none */
    unsigned max_downtime_ms;      /* what is left when the guest is stopped should take no longer */
    /* storage_copy_report has news. */
    void (*advanced)(void *user);
    /* The guest is about to be stopped. */
    void (*switches)(void *user);
    /* Once. Not set: all disks have gone over. */
    void (*ended)(const struct err *err, void *user);
    void *user;
};

/* All of `config` but vm is copied. */
struct storage_copy *storage_copy_new(const struct storage_copy_config *config);
/* Once. `ended` may be called before this returns. */
void storage_copy_begin(struct storage_copy *copy);
void storage_copy_report(const struct storage_copy *copy, struct move_status *status);
/* The guest stands because of this, or is about to. */
bool storage_copy_has_stopped(const struct storage_copy *copy);
/* Calls nobody any more. NULL ok. */
void storage_copy_free(struct storage_copy *copy);

#endif
