/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/codec.h"

#include <errno.h>
#include <limits.h>
#include <lz4.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "base/err.h"

uint32_t codec_on_wire(enum codec codec)
{
    static const uint32_t codecs[CODEC_COUNT] = {[CODEC_RAW] = WIRE_CODEC_NONE,
                                                 [CODEC_LZ4] = WIRE_CODEC_LZ4,
                                                 [CODEC_ZSTD_1] = WIRE_CODEC_ZSTD,
                                                 [CODEC_ZSTD_3] = WIRE_CODEC_ZSTD};
    return codecs[codec];
}

void codec_clear(struct codec_state *state)
{
    free(state->lz4);
    (void)ZSTD_freeCCtx(state->compressor);
    (void)ZSTD_freeDCtx(state->decompressor);
    *state = (struct codec_state){0};
}

static size_t pack_lz4(struct codec_state *state, const struct codec_block *block)
{
    if (!state->lz4)
        state->lz4 = malloc((size_t)LZ4_sizeofState());
    if (!state->lz4 || block->size > LZ4_MAX_INPUT_SIZE || block->room_size > INT_MAX)
        return 0;
    return (size_t)LZ4_compress_fast_extState(state->lz4, (const char *)block->bytes, (char *)block->room,
                                              (int)block->size, (int)block->room_size, 1);
}

static size_t pack_zstd(struct codec_state *state, int level, const struct codec_block *block)
{
    if (!state->compressor)
        state->compressor = ZSTD_createCCtx();
    if (!state->compressor)
        return 0;
    size_t size =
        ZSTD_compressCCtx(state->compressor, block->room, block->room_size, block->bytes, block->size, level);
    return ZSTD_isError(size) ? 0 : size;
}

size_t codec_pack(struct codec_state *state, enum codec codec, const struct codec_block *block)
{
    switch (codec) {
    case CODEC_LZ4:
        return pack_lz4(state, block);
    case CODEC_ZSTD_1:
        return pack_zstd(state, 1, block);
    case CODEC_ZSTD_3:
        return pack_zstd(state, 3, block);
    default:
        return 0;
    }
}

/* Less than 0 for a damaged block. Neither library writes beyond the room. */
static long long unpack(struct codec_state *state, uint32_t wire_codec, const struct codec_block *block)
{
    if (wire_codec == WIRE_CODEC_LZ4)
        return LZ4_decompress_safe((const char *)block->bytes, (char *)block->room, (int)block->size,
                                   (int)block->room_size);
    /* One frame of today's format: the library also reads older ones, with code that is older too. */
    static const uint8_t magic[] = {0x28, 0xb5, 0x2f, 0xfd};
    if (block->size < sizeof magic || memcmp(block->bytes, magic, sizeof magic) ||
        ZSTD_findFrameCompressedSize(block->bytes, block->size) != block->size)
        return -1;
    size_t size =
        ZSTD_decompressDCtx(state->decompressor, block->room, block->room_size, block->bytes, block->size);
    return ZSTD_isError(size) ? -1 : (long long)size;
}

int codec_unpack(struct codec_state *state, uint32_t wire_codec, const struct codec_block *block,
                 struct err *err)
{
    if (wire_codec == WIRE_CODEC_ZSTD && !state->decompressor)
        state->decompressor = ZSTD_createDCtx();
    if (wire_codec == WIRE_CODEC_ZSTD && !state->decompressor)
        return err_sys(err, ENOMEM, "no-memory", "no memory to unpack a batch");
    if (block->size > INT_MAX || block->room_size > INT_MAX ||
        unpack(state, wire_codec, block) != (long long)block->room_size)
        return err_set(err, ERR_CORRUPT, "packed-data", "%zu packed bytes do not unpack into %zu",
                       block->size, block->room_size);
    return 0;
}
