/* SPDX-License-Identifier: Apache-2.0 */
/* The disks of a VM that is off are copied to images that are there already, by qemu-img, one after the
 * other. What it does not write stays empty. Main-loop thread. */
#ifndef AGENT_STORAGE_CONVERT_H
#define AGENT_STORAGE_CONVERT_H

#include "agent/disk_images.h"

struct storage_convert;

struct storage_convert_config {
    struct agent *agent;
    const struct vm_spec *vm;
    const struct disk_images_here *here;
    const struct move_disk *disks; /* of the same order: their sizes */
    uint64_t bytes_s;              /* cap; 0: none */
    void (*advanced)(void *user);
    /* Once; also after a stop, with an error. The convert is gone then. Not set: all are whole and flushed.
     */
    void (*ended)(const struct err *err, void *user);
    void *user;
};

/* All of `config` is copied. */
struct storage_convert *storage_convert_new(const struct storage_convert_config *config);
/* Once. `ended` may be called before this returns. */
void storage_convert_begin(struct storage_convert *convert);
void storage_convert_report(const struct storage_convert *convert, struct move_status *status);
/* `ended` follows. */
void storage_convert_stop(struct storage_convert *convert);

#endif
