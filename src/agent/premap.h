/* SPDX-License-Identifier: Apache-2.0 */
/*
 * While a guest's memory arrives, it is mapped in the QEMU that will run it. The job writes into the memory's
 * file; without this each first touch of a running guest would be a page fault, all of them at the moment
 * when it starts. Memory that has not arrived is not touched: holes stay holes. A thread of its own.
 */
#ifndef AGENT_PREMAP_H
#define AGENT_PREMAP_H

#include <stdint.h>
#include <sys/types.h>

struct err;
struct premap;

struct premap_memory {
    pid_t qemu;       /* once it has ended, premap_end is due soon: nothing of it can be read any more */
    int ram_fd;       /* copied */
    uint64_t address; /* where QEMU maps it */
    uint64_t size;
};

/* NULL with *err if there is no thread. */
struct premap *premap_begin(const struct premap_memory *memory, struct err *err);
/* It has nothing more to do, and ends by itself: does not wait. NULL ok. */
void premap_stop(struct premap *premap);
/* Waits for its end, some milliseconds at most. Frees `premap`; NULL ok. */
void premap_end(struct premap *premap);

#endif
