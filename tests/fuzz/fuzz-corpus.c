/* SPDX-License-Identifier: Apache-2.0 */
/* The fuzz target over a corpus that is the same each time: good blocks, and each of them damaged in many
 * ways. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/codec.h"
#include "engine/delta.h"
#include "engine/engine.h"

#define PLAIN (8 * ENGINE_PAGE_SIZE)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void feed_damaged(uint8_t *input, size_t size)
{
    uint8_t *copy = malloc(size + 1);
    if (!copy)
        return;
    for (unsigned turn = 0; turn < 3000; turn++) {
        memcpy(copy, input, size);
        for (int i = rand() % 5; i > 0; i--)
            copy[1 + (size_t)rand() % (size - 1)] = (uint8_t)rand();
        (void)LLVMFuzzerTestOneInput(copy, turn % 3 ? size : 1 + (size_t)rand() % size);
    }
    free(copy);
}

int main(void)
{
    static uint8_t plain[PLAIN], input[PLAIN + 1], base[ENGINE_PAGE_SIZE];
    struct codec_state state = {0};
    srand(1);
    for (size_t i = 0; i < PLAIN; i++)
        plain[i] = (uint8_t)("a guest moves "[i % 14] + rand() % 2);
    for (uint8_t which = 0; which < 2; which++) {
        struct codec_block block = {plain, PLAIN, input + 1, PLAIN};
        input[0] = which;
        size_t size = codec_pack(&state, which ? CODEC_ZSTD_1 : CODEC_LZ4, &block);
        if (!size)
            return EXIT_FAILURE;
        feed_damaged(input, size + 1);
    }
    size_t used = 1;
    input[0] = 2;
    for (unsigned page = 0; page < 8; page++) {
        memcpy(base, plain, sizeof base);
        for (unsigned i = 0; i < page * 3; i++)
            base[(size_t)rand() % sizeof base] ^= 1;
        used += delta_encode(base, plain, input + used);
    }
    feed_damaged(input, used);
    input[0] = 3;
    feed_damaged(input, 33);
    codec_clear(&state);
    (void)printf("12000 inputs, no crash\n");
    return EXIT_SUCCESS;
}
