/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How PACKED and DELTA records get into guest RAM. A record is received whole, unpacked beside RAM and its
 * result checked; only then is RAM written, so what is damaged or hostile leaves nothing behind that a later
 * change could build on.
 */
#ifndef ENGINE_UNPACK_H
#define ENGINE_UNPACK_H

#include <stddef.h>
#include <stdint.h>

#include "engine/codec.h"
#include "engine/place.h"

struct err;
struct link;

/* One worker's room for it: what a channel without such records never pays. */
struct unpacker {
    struct codec_state codec;
    uint8_t *packed, *plain; /* WIRE_BATCH_BYTES_MAX each; NULL until the first record */
};
void unpacker_clear(struct unpacker *unpacker);

/* The payload of a PACKED or DELTA record whose header was read from `link`. */
int unpacker_place(struct unpacker *unpacker, struct placer *placer, struct link *link,
                   const struct wire_record *record, struct err *err);

/* Applies the changes of n_pages pages, one after the other, to the pages at `pages`. ERR_CORRUPT
 * "delta-data" unless they use up the bytes exactly; then the pages mean nothing. */
int unpack_deltas(const uint8_t *bytes, size_t size, uint8_t *pages, uint64_t n_pages, struct err *err);

#endif
