/* SPDX-License-Identifier: Apache-2.0 */
/* Why QEMU's copy of a disk to another image has failed. Any thread. */
#ifndef AGENT_DISK_COPY_ERROR_H
#define AGENT_DISK_COPY_ERROR_H

#include "model/vm.h"

struct disk_copying {
    const char *vm;
    const struct vm_disk *disk;
    const char *host, *datastore; /* where the copy is made */
};

/* `reason` is QEMU's own, or "". REFUSED "datastore-full", "disk-copy-failed". */
void disk_copy_error(const struct disk_copying *copying, const char *reason, struct err *err);

#endif
