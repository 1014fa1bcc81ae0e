/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a peer may put into a PACKED or DELTA record, into the decoders. The first byte chooses: lz4, zstd,
 * changes of pages, the head of a record; the rest is the input. In `make check` fuzz-corpus.c runs it over a
 * fixed corpus.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "engine/codec.h"
#include "engine/engine.h"
#include "engine/unpack.h"
#include "wire/data.h"
#include "wire/record.h"

#define PAGES 8u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void unpack(uint32_t codec, const uint8_t *data, size_t size)
{
    static struct codec_state state;
    uint8_t *room = malloc(PAGES * ENGINE_PAGE_SIZE);
    struct codec_block block = {data, size, room, PAGES * ENGINE_PAGE_SIZE};
    if (room)
        (void)codec_unpack(&state, codec, &block, NULL);
    free(room);
}

static void apply(const uint8_t *data, size_t size)
{
    uint8_t *pages = calloc(PAGES, ENGINE_PAGE_SIZE);
    if (pages)
        (void)unpack_deltas(data, size, pages, PAGES, NULL);
    free(pages);
}

static void decode_heads(const uint8_t *data, size_t size)
{
    uint8_t head[WIRE_PACKED_SIZE] = {0};
    struct wire_packed packed;
    memcpy(head, data, size < sizeof head ? size : sizeof head);
    for (uint32_t type = WIRE_PACKED; type <= WIRE_DELTA; type++) {
        struct wire_record record = {.type = type, .length = size};
        if (wire_packed_decode(head, &record, &packed, NULL) == 0 &&
            (packed.n_packed >= packed.n_bytes || packed.n_bytes > WIRE_BATCH_BYTES_MAX))
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!size)
        return 0;
    /* A copy of the exact size, so that the sanitizer sees a byte read beyond it. */
    uint8_t *copy = malloc(size);
    if (!copy)
        return 0;
    memcpy(copy, data, size);
    switch (copy[0] % 4) {
    case 0:
        unpack(WIRE_CODEC_LZ4, copy + 1, size - 1);
        break;
    case 1:
        unpack(WIRE_CODEC_ZSTD, copy + 1, size - 1);
        break;
    case 2:
        apply(copy + 1, size - 1);
        break;
    default:
        decode_heads(copy + 1, size - 1);
    }
    free(copy);
    return 0;
}
