/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who knows which pages the guest wrote. One interface, two ways:
 *   async (dirty_async.c)  the kernel notes the write and lets it pass; PAGEMAP_SCAN reports. Linux 6.7+.
 *   sync (dirty_sync.c)    the writer waits until a thread of ours has noted the page. Linux 6.1+.
 * Only the second can hold a writer up. So a guest that has to be throttled is tracked the second way where
 * it writes most, also by the first source.
 *
 * The rule both obey: a page is protected first and read afterwards, so that a write that the reader missed
 * is in the next collection. Order of calls: start once, collect any number of times, free. Thread: the
 * story.
 */
#ifndef ENGINE_DIRTY_SOURCE_H
#define ENGINE_DIRTY_SOURCE_H

#include <stdint.h>

#include "base/bitmap.h"

struct engine_stuns;
struct err;
struct halt;

struct dirty_source_config {
    int uffd_async, uffd_sync; /* nothing enabled; not owned */
    int pagemap_fd;            /* not owned; async only */
    int ram_fd;                /* the memory itself; not owned */
    uint64_t ram_address, ram_size;
    uint64_t step;     /* bytes that one protect or scan call may cover while the guest runs */
    struct halt *halt; /* not owned; set if the source itself fails between calls */
    /* as in engine_source_config */
    uint64_t *fault_beat;
    int qemu_pid;
    unsigned n_vcpus;
    const int *vcpu_tids; /* not owned */
    unsigned stun_limit_percent;
};

struct dirty_source;

struct dirty_source_ops {
    const char *name;
    /* Enables, registers and protects all of RAM. ERR_REFUSED "dirty-source-missing" if this kernel cannot.
     */
    int (*start)(struct dirty_source *source, struct err *err);
    /* Adds to `dirty` every page of RAM that was written since the last collection (or start), and protects
     * these pages again. On failure the attempt is over: pages may have been protected and not reported. */
    int (*collect)(struct dirty_source *source, struct bitmap *dirty, struct err *err);
    /* From now on at most about `bytes_s` become dirty each second; 0: as many as the guest likes. Between
     * collect and the sending of `dirty`, which holds all that is not sent: what is written meanwhile may be
     * added to it. */
    int (*throttle)(struct dirty_source *source, uint64_t bytes_s, struct bitmap *dirty, struct err *err);
    /* The guest is about to be stopped: whoever is held up goes on before this returns. */
    int (*ease)(struct dirty_source *source, struct err *err);
    /* The guest stands. Scans may take longer. A source that hears of a write before it happens needs to
     * know: whoever was about to write (a vCPU that the stop interrupted, a kernel worker that fetches a page
     * for it) may not have done so, and then it is none. */
    int (*guest_stopped)(struct dirty_source *source, struct err *err);
    /* How long writers were held up so far, in ns. Any thread. */
    uint64_t (*stun_ns)(const struct dirty_source *source);
    void (*stuns)(const struct dirty_source *source, struct engine_stuns *ret_stuns);
    /* Unregisters, which releases every blocked writer; joins threads. */
    void (*free)(struct dirty_source *source);
};

/* The implementations put this first. */
struct dirty_source {
    const struct dirty_source_ops *ops;
    struct dirty_source_config config;
};

struct dirty_source *dirty_async_new(const struct dirty_source_config *config, struct err *err);
struct dirty_source *dirty_sync_new(const struct dirty_source_config *config, struct err *err);

#endif
