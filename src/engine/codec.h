/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lz4 and zstd, one block at a time, with bounds on both sides. A struct belongs to one thread; its
 * libraries' state is made when it is first needed and never grows with what a peer sends.
 */
#ifndef ENGINE_CODEC_H
#define ENGINE_CODEC_H

#include <stddef.h>
#include <stdint.h>

#include "wire/data.h"

struct err;

/* Ways to send a batch, the cheapest for the CPU first. */
enum codec { CODEC_RAW, CODEC_LZ4, CODEC_ZSTD_1, CODEC_ZSTD_3, CODEC_COUNT };

/* enum wire_codec of a way. */
uint32_t codec_on_wire(enum codec codec);

struct codec_state {
    void *lz4;
    void *compressor, *decompressor; /* of zstd */
};
void codec_clear(struct codec_state *state);

struct codec_block {
    const uint8_t *bytes;
    size_t size;
    uint8_t *room; /* where the result goes */
    size_t room_size;
};
/* The size of the packed block; 0 if it does not fit into the room, or if there is no memory. */
size_t codec_pack(struct codec_state *state, enum codec codec, const struct codec_block *block);
/* Unpacks a block of which nothing is believed. ERR_CORRUPT "packed-data" unless the result fills the room
 * exactly; then the room's content means nothing. */
int codec_unpack(struct codec_state *state, uint32_t wire_codec, const struct codec_block *block,
                 struct err *err);

#endif
