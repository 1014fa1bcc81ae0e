/* SPDX-License-Identifier: Apache-2.0 */
#include "base/bitmap.h"

#include <errno.h>
#include <stdlib.h>

#include "base/err.h"

#define WORD_BITS 64

static uint64_t load(const struct bitmap *bitmap, uint64_t word)
{
    return __atomic_load_n(&bitmap->words[word], __ATOMIC_RELAXED);
}

static uint64_t n_words(const struct bitmap *bitmap)
{
    return bitmap->n_bits / WORD_BITS + (bitmap->n_bits % WORD_BITS != 0);
}

int bitmap_init(struct bitmap *bitmap, uint64_t n_bits, struct err *err)
{
    bitmap->n_bits = n_bits;
    bitmap->words = calloc(n_words(bitmap) + 1, sizeof bitmap->words[0]);
    if (!bitmap->words)
        return err_sys(err, ENOMEM, "no-memory", "no memory for a map of %llu pages",
                       (unsigned long long)n_bits);
    return 0;
}

void bitmap_free_bits(struct bitmap *bitmap)
{
    free(bitmap->words);
    bitmap->words = NULL;
    bitmap->n_bits = 0;
}

bool bitmap_has(const struct bitmap *bitmap, uint64_t bit)
{
    return load(bitmap, bit / WORD_BITS) >> (bit % WORD_BITS) & 1;
}

void bitmap_set(struct bitmap *bitmap, uint64_t bit)
{
    (void)__atomic_fetch_or(&bitmap->words[bit / WORD_BITS], 1ull << (bit % WORD_BITS), __ATOMIC_RELAXED);
}

/* The bits of one word that lie in [first, end); *ret_next is the first bit of the next word. */
static uint64_t word_mask(uint64_t first, uint64_t end, uint64_t *ret_next)
{
    uint64_t word_end = (first / WORD_BITS + 1) * WORD_BITS;
    uint64_t stop = word_end < end ? word_end : end;
    uint64_t count = stop - first;
    *ret_next = stop;
    return (count == WORD_BITS ? ~0ull : (1ull << count) - 1) << (first % WORD_BITS);
}

void bitmap_set_range(struct bitmap *bitmap, uint64_t first, uint64_t count)
{
    for (uint64_t at = first, end = first + count, next; at < end; at = next)
        (void)__atomic_fetch_or(&bitmap->words[at / WORD_BITS], word_mask(at, end, &next), __ATOMIC_RELAXED);
}

void bitmap_clear_range(struct bitmap *bitmap, uint64_t first, uint64_t count)
{
    for (uint64_t at = first, end = first + count, next; at < end; at = next)
        (void)__atomic_fetch_and(&bitmap->words[at / WORD_BITS], ~word_mask(at, end, &next),
                                 __ATOMIC_RELAXED);
}

void bitmap_clear(struct bitmap *bitmap)
{
    for (uint64_t word = 0; word < n_words(bitmap); word++)
        if (load(bitmap, word))
            __atomic_store_n(&bitmap->words[word], 0, __ATOMIC_RELAXED);
}

void bitmap_add(struct bitmap *bitmap, const struct bitmap *others)
{
    for (uint64_t word = 0; word < n_words(bitmap); word++)
        if (others->words[word])
            bitmap->words[word] |= others->words[word];
}

void bitmap_keep(struct bitmap *bitmap, const struct bitmap *others)
{
    for (uint64_t word = 0; word < n_words(bitmap); word++)
        if (bitmap->words[word])
            bitmap->words[word] &= others->words[word];
}

void bitmap_remove(struct bitmap *bitmap, const struct bitmap *others)
{
    for (uint64_t word = 0; word < n_words(bitmap); word++)
        if (bitmap->words[word])
            bitmap->words[word] &= ~others->words[word];
}

uint64_t bitmap_count(const struct bitmap *bitmap)
{
    uint64_t count = 0;
    for (uint64_t word = 0; word < n_words(bitmap); word++)
        count += (uint64_t)__builtin_popcountll(load(bitmap, word));
    return count;
}

/* The first bit in [from, limit) whose word, after `flip`, has it set; `limit` if there is none. */
static uint64_t find(const struct bitmap *bitmap, uint64_t from, uint64_t limit, uint64_t flip)
{
    while (from < limit) {
        uint64_t word = (load(bitmap, from / WORD_BITS) ^ flip) >> (from % WORD_BITS);
        if (word) {
            uint64_t found = from + (uint64_t)__builtin_ctzll(word);
            return found < limit ? found : limit;
        }
        from = (from / WORD_BITS + 1) * WORD_BITS;
    }
    return limit;
}

uint64_t bitmap_next_run(const struct bitmap *bitmap, uint64_t from, uint64_t limit, uint64_t *ret_first)
{
    *ret_first = find(bitmap, from, limit, 0);
    return find(bitmap, *ret_first, limit, ~0ull) - *ret_first;
}
