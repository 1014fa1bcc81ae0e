/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How one record of pages gets from a connection into guest RAM: into a buffer, where it is hashed while it
 * is in the cache, and, only if it is what was sent, from there by pwrite into the file. So damaged pages
 * never get into guest RAM, fresh memory is written once instead of being cleared first, a page needs no page
 * fault, and the job has no page tables for guest RAM.
 *
 * Everything a record says is hostile until wire/ has checked it.
 */
#ifndef ENGINE_PLACE_H
#define ENGINE_PLACE_H

#include <stdint.h>
#include <xxhash.h>

#include "base/bitmap.h"
#include "engine/link.h"
#include "engine/ram.h"
#include "wire/data.h"

struct err;

/* The memory that all workers fill. */
struct place {
    struct ram ram;
    uint32_t round;          /* changed only while no placer works: records of another round are refused */
    struct bitmap populated; /* pages that were placed and not given up since */
    struct bitmap placed;    /* pages whose record of this round arrived whole and right: what RESUME tells */
    uint64_t placed_bytes;   /* in this round; atomic */
    uint64_t zero_pages;     /* atomic */
};

/* One worker's hand. */
struct placer {
    struct place *place;         /* not owned */
    uint64_t n_bytes;            /* of pages placed since it was last set to 0 */
    struct wire_extent *extents; /* WIRE_EXTENTS_MAX */
    uint8_t *buffer;             /* RAM_HASH_BUFFER_SIZE: extent lists; between records free for others */
    uint8_t *pages;              /* WIRE_BATCH_BYTES_MAX, page aligned */
    XXH3_state_t *hash;          /* between records free for others */
};

/* `place` is zeroed but for ram, `placer` but for place. On failure the clear is still due. */
int place_init(struct place *place, struct err *err);
void place_clear(struct place *place);
int placer_init(struct placer *placer, struct err *err);
void placer_clear(struct placer *placer);

/* The payload of a PAGES record whose header was read from `link`. */
int placer_pages(struct placer *placer, struct link *link, const struct wire_record *record, struct err *err);
/* Of a ZERO or HOLE record. */
int placer_list(struct placer *placer, struct link *link, const struct wire_record *record, struct err *err);
/* The extents of a record are in place. Every kind of record ends so. */
void place_done(struct place *place, const struct wire_extent *extents, uint32_t n);
/* The next round begins. While no placer works. */
void place_next_round(struct place *place);
/* The next n_extents extents of a record into placer->extents; *ret_bytes is their sum. */
int placer_extents(struct placer *placer, struct link *link, uint32_t n_extents, uint64_t *ret_bytes,
                   struct err *err);
/* Writes pages, which lie one after the other and are checked, to the places of placer->extents, and counts
 * them. */
int placer_write(struct placer *placer, uint32_t n_extents, const uint8_t *pages, struct err *err);
/* ERR_CORRUPT "round-order" unless this is the round. */
int place_check_round(const struct place *place, uint32_t round, struct err *err);

#endif
