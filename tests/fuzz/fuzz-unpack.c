/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a peer may put into a PACKED or DELTA record, into the decoders alone. The first byte chooses: lz4,
 * zstd, changes of pages, whose rest is the input. What was packed and is damaged gives damaged pages or an
 * error, never more than there is room for.
 */
#include <stdlib.h>
#include <string.h>

#include "engine/codec.h"
#include "engine/delta.h"
#include "engine/engine.h"
#include "engine/unpack.h"
#include "fuzz.h"
#include "wire/data.h"

#define PAGES 8u

static void unpack(uint32_t codec, const struct input *input)
{
    static struct codec_state state;
    struct err err = {0};
    uint8_t *room = malloc(PAGES * ENGINE_PAGE_SIZE);
    must(room != NULL);
    struct codec_block block = {input->at, input->left, room, PAGES * ENGINE_PAGE_SIZE};
    if (codec_unpack(&state, codec, &block, &err) < 0)
        must_be_sound(&err);
    free(room);
}

/* What the page differs in from a page of zeros is found, told and placed again. */
static void must_be_told_equally(const uint8_t *page)
{
    uint8_t base[ENGINE_PAGE_SIZE] = {0}, again[ENGINE_PAGE_SIZE] = {0}, delta[DELTA_PAGE_MAX];
    size_t size = delta_encode(base, page, delta);
    if (!size)
        return;
    must(size <= sizeof delta && !memcmp(base, page, sizeof base));
    must(delta_apply(delta, size, again) == size && !memcmp(again, page, sizeof again));
}

static void apply(const struct input *input)
{
    struct err err = {0};
    uint8_t *pages = calloc(PAGES, ENGINE_PAGE_SIZE);
    must(pages != NULL);
    if (unpack_deltas(input->at, input->left, pages, PAGES, &err) < 0)
        must_be_sound(&err);
    else
        must_be_told_equally(pages);
    free(pages);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {data, size};
    switch (input_number(&input, 1) % 3) {
    case 0:
        unpack(WIRE_CODEC_LZ4, &input);
        break;
    case 1:
        unpack(WIRE_CODEC_ZSTD, &input);
        break;
    default:
        apply(&input);
    }
    return 0;
}
