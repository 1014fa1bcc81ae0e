/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/place.h"

#include <errno.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/fdio.h"
#include "engine/checksum.h"
#include "engine/engine.h"

#define LIST_BYTES_MAX ((size_t)WIRE_EXTENTS_MAX * WIRE_EXTENT_SIZE)
/* Received and hashed at once. */
#define PIECE_BYTES (256u << 10)

_Static_assert(LIST_BYTES_MAX <= RAM_HASH_BUFFER_SIZE, "the buffer serves for lists");

int place_init(struct place *place, struct err *err)
{
    uint64_t n_pages = place->ram.size / ENGINE_PAGE_SIZE;
    if (bitmap_init(&place->populated, n_pages, err) < 0)
        return -1;
    return bitmap_init(&place->placed, n_pages, err);
}

void place_clear(struct place *place)
{
    bitmap_free_bits(&place->populated);
    bitmap_free_bits(&place->placed);
}

void place_done(struct place *place, const struct wire_extent *extents, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        bitmap_set_range(&place->placed, extents[i].offset / ENGINE_PAGE_SIZE,
                         extents[i].length / ENGINE_PAGE_SIZE);
}

void place_next_round(struct place *place)
{
    bitmap_clear(&place->placed);
    __atomic_store_n(&place->placed_bytes, 0, __ATOMIC_RELAXED);
    place->round++;
}

int placer_init(struct placer *placer, struct err *err)
{
    placer->extents = calloc(WIRE_EXTENTS_MAX, sizeof placer->extents[0]);
    placer->buffer = malloc(RAM_HASH_BUFFER_SIZE);
    placer->pages = aligned_alloc(ENGINE_PAGE_SIZE, WIRE_BATCH_BYTES_MAX);
    placer->hash = XXH3_createState();
    if (!placer->extents || !placer->buffer || !placer->pages || !placer->hash)
        return err_sys(err, ENOMEM, "no-memory", "no memory for a channel");
    return 0;
}

void placer_clear(struct placer *placer)
{
    free(placer->extents);
    free(placer->buffer);
    free(placer->pages);
    (void)XXH3_freeState(placer->hash);
}

int place_check_round(const struct place *place, uint32_t round, struct err *err)
{
    if (round != place->round)
        return err_set(err, ERR_CORRUPT, "round-order", "a record of round %u arrived in round %u", round,
                       place->round);
    return 0;
}

int placer_extents(struct placer *placer, struct link *link, uint32_t n_extents, uint64_t *ret_bytes,
                   struct err *err)
{
    if (link_receive_told(link, placer->buffer, (size_t)n_extents * WIRE_EXTENT_SIZE, err) < 0 ||
        link_check_sum(link, err) < 0)
        return -1;
    return wire_extents_decode(placer->buffer, n_extents, placer->place->ram.size, placer->extents, ret_bytes,
                               err);
}

int placer_write(struct placer *placer, uint32_t n_extents, const uint8_t *pages, struct err *err)
{
    struct place *place = placer->place;
    uint64_t n_bytes = 0;
    for (uint32_t i = 0; i < n_extents; i++) {
        const struct wire_extent *extent = &placer->extents[i];
        if (fdio_pwrite(place->ram.fd, pages + n_bytes, extent->length, extent->offset, err) < 0)
            return -1;
        bitmap_set_range(&place->populated, extent->offset / ENGINE_PAGE_SIZE,
                         extent->length / ENGINE_PAGE_SIZE);
        n_bytes += extent->length;
    }
    place_done(place, placer->extents, n_extents);
    placer->n_bytes += n_bytes;
    (void)__atomic_fetch_add(&place->placed_bytes, n_bytes, __ATOMIC_RELAXED);
    return 0;
}

/* Fills placer->pages and hashes it piece by piece, while each is in the cache. */
static int receive_hashed(struct placer *placer, struct link *link, uint64_t n_bytes, uint64_t *ret_hash,
                          struct err *err)
{
    (void)XXH3_64bits_reset(placer->hash);
    for (uint64_t done = 0; done < n_bytes;) {
        size_t piece = n_bytes - done < PIECE_BYTES ? (size_t)(n_bytes - done) : PIECE_BYTES;
        if (link_receive(link, placer->pages + done, piece, err) < 0)
            return -1;
        (void)XXH3_64bits_update(placer->hash, placer->pages + done, piece);
        done += piece;
    }
    *ret_hash = XXH3_64bits_digest(placer->hash);
    return 0;
}

int placer_pages(struct placer *placer, struct link *link, const struct wire_record *record, struct err *err)
{
    struct place *place = placer->place;
    uint8_t head[WIRE_PAGES_SIZE];
    struct wire_pages pages;
    uint64_t n_bytes, hash;
    if (link_receive_told(link, head, sizeof head, err) < 0 ||
        wire_pages_decode(head, record->length, &pages, err) < 0 ||
        place_check_round(place, pages.round, err) < 0 ||
        placer_extents(placer, link, pages.n_extents, &n_bytes, err) < 0)
        return -1;
    if (n_bytes != pages.n_bytes)
        return err_set(err, ERR_CORRUPT, "batch-length", "a batch of %llu bytes has extents of %llu",
                       (unsigned long long)pages.n_bytes, (unsigned long long)n_bytes);
    if (receive_hashed(placer, link, n_bytes, &hash, err) < 0)
        return -1;
    if (hash != pages.xxh3)
        return err_set(
            err, ERR_CORRUPT, "batch-checksum", "a batch of %llu bytes at %llu in round %u arrived damaged",
            (unsigned long long)n_bytes, (unsigned long long)placer->extents[0].offset, pages.round);
    return placer_write(placer, pages.n_extents, placer->pages, err);
}

/* ZERO and HOLE alike: pages without memory read as zeros, and cost none. */
int placer_list(struct placer *placer, struct link *link, const struct wire_record *record, struct err *err)
{
    struct place *place = placer->place;
    uint8_t head[WIRE_LIST_SIZE];
    struct wire_list list;
    uint64_t n_bytes;
    if (link_receive_told(link, head, sizeof head, err) < 0 ||
        wire_list_decode(head, record->length, &list, err) < 0 ||
        place_check_round(place, list.round, err) < 0 ||
        placer_extents(placer, link, list.n_extents, &n_bytes, err) < 0)
        return -1;
    for (uint32_t i = 0; i < list.n_extents; i++) {
        const struct wire_extent *extent = &placer->extents[i];
        if (ram_punch(&place->ram, extent->offset, extent->length, err) < 0)
            return -1;
        bitmap_clear_range(&place->populated, extent->offset / ENGINE_PAGE_SIZE,
                           extent->length / ENGINE_PAGE_SIZE);
    }
    place_done(place, placer->extents, list.n_extents);
    if (record->type == WIRE_ZERO)
        (void)__atomic_fetch_add(&place->zero_pages, n_bytes / ENGINE_PAGE_SIZE, __ATOMIC_RELAXED);
    return 0;
}
