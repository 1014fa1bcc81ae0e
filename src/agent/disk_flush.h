/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a guest has written to its disks goes from the host's cache to the storage while the guest still runs:
 * QEMU flushes all of it when the guest is stopped for its switch-over, and finds little then. A help only.
 * Main-loop thread; the work is done by another one, which a dead storage may hold for ever.
 */
#ifndef AGENT_DISK_FLUSH_H
#define AGENT_DISK_FLUSH_H

#include "agent/agent.h"

struct disk_flush;

/* NULL: the VM has no disks. */
struct disk_flush *disk_flush_new(const struct agent *agent, const struct vm_spec *spec);
/* Begins, unless the last one is not over yet. NULL ok. */
void disk_flush_begin(struct disk_flush *flush);
bool disk_flush_is_busy(struct disk_flush *flush);
/* One that is under way goes on. NULL ok. */
void disk_flush_free(struct disk_flush *flush);

#endif
