/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The source's side of PACKED and DELTA: takes out of a batch what is worth packing and sends it; what stays
 * in the batch is sent as it is.
 *
 *   batch of data pages -> pages with a base that changed little -> DELTA
 *                       -> the rest, if a codec is in use and it packs -> PACKED
 *                       -> else left in the batch
 *
 * `struct packing` is what all workers share: which codec pays (codec_policy.h), the cache of sent pages
 * (delta_cache.h), counts. Deltas begin where the last round showed that it is the link that keeps workers
 * waiting, neither a lack of CPU nor the other host, and that a page on it costs more than a page in the
 * cache. In round 0, once it shows that, pages enter that were written since they were protected: they will
 * come again. So a guest that converges at once, or whose link is faster than memory, never fills a cache;
 * they end, and the memory is given back, when hardly any page changed little.
 */
#ifndef ENGINE_PACKER_H
#define ENGINE_PACKER_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "engine/batch.h"
#include "engine/codec.h"
#include "engine/codec_policy.h"
#include "engine/delta_cache.h"
#include "engine/engine.h"
#include "engine/hot_pages.h"

struct err;
struct link;

struct packing {
    enum engine_compression compression;
    enum engine_delta delta;
    uint64_t cache_bytes; /* limit of the cache */
    unsigned n_workers;
    uint64_t n_pages; /* of guest RAM */
    struct hot_pages hot;

    pthread_mutex_t lock; /* protects policy */
    struct codec_policy policy;
    struct delta_cache cache;
    bool is_filled;       /* atomic: there are entries */
    bool is_cached;       /* pages of this round enter the cache; changed only while workers idle */
    uint32_t rest_rounds; /* rounds without a cache that are left after one that was in vain */
    uint32_t rest_next;
    struct packing_round { /* atomic */
        uint64_t begin_ns;
        uint64_t raw_bytes, busy_ns, wait_ns;
        uint64_t link_ns;           /* the links, or the cap, had enough to do and the other host kept up */
        uint64_t n_bases, n_deltas; /* pages that had a base; of them those that changed little */
    } round;
    struct engine_codec_counts counts[ENGINE_CODECS]; /* atomic */
};

/* `packing` is zeroed but for compression, delta, cache_bytes, n_workers, n_pages and hot. On failure the
 * clear is still due. */
int packing_init(struct packing *packing, struct err *err);
void packing_clear(struct packing *packing);
/* By the story, while workers idle: what round n does is decided from what the one before showed. */
void packing_begin_round(struct packing *packing, uint32_t n);
/* Any time in round 0: the link is slow enough for hot pages to be kept. Any thread. */
bool packing_keeps_hot_pages(const struct packing *packing);
/* A page is sent as zeros or as a hole, or its last version was not placed: it has no base any more. */
void packing_forget(struct packing *packing, const struct wire_extent *extents, uint32_t n_extents);
void packing_forget_pages(struct packing *packing, const struct bitmap *pages);
/* Any thread. */
void packing_counts(const struct packing *packing, struct engine_codec_counts ret_counts[ENGINE_CODECS]);

/* One worker's tools. */
struct packer {
    struct packing *packing; /* not owned */
    struct codec_state codec_state;
    uint8_t *gathered, *packed, *deltas; /* WIRE_BATCH_BYTES_MAX each; touched when needed */
    uint8_t *extent_bytes;
    struct run_list *changed, *rest;
    struct iovec *rest_parts; /* BATCH_PAGES */
    XXH3_state_t *hash;
    bool is_hot[BATCH_PAGES];
    bool is_warm[CODEC_COUNT]; /* the codec was used before: its memory has been touched */
    uint32_t n_unpackable;     /* batches in a row that looked like random data */
    /* of the batch in hand */
    uint64_t begin_ns, begin_cpu_ns, pack_ns;
    uint64_t read_ns, read_cpu_ns;
    uint64_t raw_bytes, packed_raw, wire_bytes;
    enum codec codec;
    uint64_t link_us, peer_us; /* of the connection, as the kernel had counted them after the last batch */
    uint64_t held_ns;          /* likewise, of the link */
};

/* `packer` is zeroed but for packing. On failure the clear is still due. */
int packer_init(struct packer *packer, struct err *err);
void packer_clear(struct packer *packer);

struct packer_channel {
    struct link *link;
    uint32_t round;
    uint64_t n_records, n_bytes; /* in, out: as a SYNC counts them */
};

/* Around one batch, from before it is read until it is sent. */
void packer_begin(struct packer *packer);
/* The batch is read. */
void packer_read(struct packer *packer);
/* Sends what is worth packing of a batch that was read; batch->data and parts[3...] are what is left. */
int packer_send(struct packer *packer, struct packer_channel *channel, struct batch *batch, struct err *err);
/* `n_bytes` of pages were sent as they are. */
void packer_end(struct packer *packer, const struct link *link, uint64_t n_bytes);

#endif
