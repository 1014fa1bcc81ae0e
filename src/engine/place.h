/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How one record of pages gets from a connection into guest RAM. Pages go from the socket straight into the
 * mapping and are hashed there, as the guest will see them.
 *
 * Memory is populated batch by batch just before it is filled, by each worker for itself: page faults inside
 * recv cost several times as much, and populating all that the source has ahead of time would also populate
 * its zero pages, which here stay holes.
 *
 * Everything a record says is hostile until wire/ has checked it.
 */
#ifndef ENGINE_PLACE_H
#define ENGINE_PLACE_H

#include <stdint.h>
#include <sys/uio.h>
#include <xxhash.h>

#include "base/bitmap.h"
#include "engine/link.h"
#include "engine/ram.h"
#include "wire/data.h"

struct err;

/* The memory that all workers fill. */
struct place {
    struct ram ram;
    uint8_t *mapping;        /* of ram, read-write; not owned */
    uint32_t round;          /* changed only while no placer works: records of another round are refused */
    struct bitmap populated; /* pages that have memory in our mapping */
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
    struct iovec *parts;         /* WIRE_BATCH_BYTES_MAX / WIRE_PAGE_SIZE */
    XXH3_state_t *hash;          /* between records free for others */
};

/* `place` is zeroed but for ram and mapping, `placer` but for place. On failure the clear is still due. */
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
/* ERR_CORRUPT "round-order" unless this is the round. */
int place_check_round(const struct place *place, uint32_t round, struct err *err);

#endif
