/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/unpack.h"

#include <errno.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/fdio.h"
#include "engine/checksum.h"
#include "engine/delta.h"
#include "engine/engine.h"

void unpacker_clear(struct unpacker *unpacker)
{
    codec_clear(&unpacker->codec);
    free(unpacker->packed);
    free(unpacker->plain);
    *unpacker = (struct unpacker){0};
}

static int make_room(struct unpacker *unpacker, struct err *err)
{
    if (!unpacker->packed)
        unpacker->packed = malloc(WIRE_BATCH_BYTES_MAX);
    if (!unpacker->plain)
        unpacker->plain = malloc(WIRE_BATCH_BYTES_MAX);
    if (!unpacker->packed || !unpacker->plain)
        return err_sys(err, ENOMEM, "no-memory", "no memory to unpack batches");
    return 0;
}

int unpack_deltas(const uint8_t *bytes, size_t size, uint8_t *pages, uint64_t n_pages, struct err *err)
{
    size_t used = 0;
    for (uint64_t i = 0; i < n_pages; i++) {
        size_t taken = delta_apply(bytes + used, size - used, pages + i * ENGINE_PAGE_SIZE);
        if (!taken)
            return err_set(err, ERR_CORRUPT, "delta-data", "the changes of page %llu of %llu are damaged",
                           (unsigned long long)i, (unsigned long long)n_pages);
        used += taken;
    }
    if (used != size)
        return err_set(err, ERR_CORRUPT, "delta-data", "%zu bytes of changes are left over", size - used);
    return 0;
}

/* The pages as they are now, behind each other. Only pages that were placed have a last version. */
static int collect_bases(const struct unpacker *unpacker, const struct placer *placer, uint32_t n_extents,
                         struct err *err)
{
    const struct place *place = placer->place;
    uint8_t *at = unpacker->plain;
    for (uint32_t i = 0; i < n_extents; i++) {
        const struct wire_extent *extent = &placer->extents[i];
        uint64_t first = extent->offset / ENGINE_PAGE_SIZE, count = extent->length / ENGINE_PAGE_SIZE, begin;
        if (bitmap_next_run(&place->populated, first, first + count, &begin) != count)
            return err_set(err, ERR_CORRUPT, "delta-base",
                           "changes arrived of pages at %llu that were never sent",
                           (unsigned long long)extent->offset);
        if (fdio_pread(place->ram.fd, at, extent->length, extent->offset, err) < 0)
            return -1;
        at += extent->length;
    }
    return 0;
}

static int unpack(struct unpacker *unpacker, const struct placer *placer, const struct wire_packed *packed,
                  struct err *err)
{
    if (packed->codec != WIRE_CODEC_NONE) {
        struct codec_block block = {unpacker->packed, packed->n_packed, unpacker->plain, packed->n_bytes};
        return codec_unpack(&unpacker->codec, packed->codec, &block, err);
    }
    if (collect_bases(unpacker, placer, packed->n_extents, err) < 0)
        return -1;
    return unpack_deltas(unpacker->packed, packed->n_packed, unpacker->plain,
                         packed->n_bytes / ENGINE_PAGE_SIZE, err);
}

int unpacker_place(struct unpacker *unpacker, struct placer *placer, struct link *link,
                   const struct wire_record *record, struct err *err)
{
    uint8_t head[WIRE_PACKED_SIZE];
    struct wire_packed packed;
    uint64_t n_bytes;
    if (link_receive_told(link, head, sizeof head, err) < 0 ||
        wire_packed_decode(head, record, &packed, err) < 0 ||
        place_check_round(placer->place, packed.round, err) < 0 ||
        placer_extents(placer, link, packed.n_extents, &n_bytes, err) < 0)
        return -1;
    if (n_bytes != packed.n_bytes)
        return err_set(err, ERR_CORRUPT, "batch-length", "a batch of %llu bytes has extents of %llu",
                       (unsigned long long)packed.n_bytes, (unsigned long long)n_bytes);
    if (make_room(unpacker, err) < 0 || link_receive(link, unpacker->packed, packed.n_packed, err) < 0 ||
        unpack(unpacker, placer, &packed, err) < 0)
        return -1;
    if (XXH3_64bits(unpacker->plain, n_bytes) != packed.xxh3)
        return err_set(
            err, ERR_CORRUPT, "batch-checksum", "a batch of %llu bytes at %llu in round %u arrived damaged",
            (unsigned long long)n_bytes, (unsigned long long)placer->extents[0].offset, packed.round);
    return placer_write(placer, packed.n_extents, unpacker->plain, err);
}
