/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/chunks.h"

#include <errno.h>
#include <stdlib.h>

#include "base/err.h"

int chunks_init(struct chunks *chunks, uint64_t n_pages, uint64_t pages, struct err *err)
{
    while (pages * CHUNKS_MAX < n_pages)
        pages *= 2;
    uint64_t n_chunks = (n_pages + pages - 1) / pages;
    *chunks = (struct chunks){.pages = pages, .n_pages = n_pages};
    chunks->counts = calloc(n_chunks, sizeof chunks->counts[0]);
    if (!chunks->counts)
        return err_sys(err, ENOMEM, "no-memory", "no memory to track writes");
    return bitmap_init(&chunks->hot, n_chunks, err);
}

void chunks_clear(struct chunks *chunks)
{
    free(chunks->counts);
    bitmap_free_bits(&chunks->hot);
}

/* Dirty pages of each chunk; returns all of them. */
static uint64_t count(struct chunks *chunks, const struct bitmap *dirty)
{
    uint64_t total = 0, first, length;
    for (uint64_t i = 0; i < chunks->hot.n_bits; i++)
        chunks->counts[i] = 0;
    for (uint64_t at = 0; (length = bitmap_next_run(dirty, at, dirty->n_bits, &first)); at = first + length) {
        total += length;
        for (uint64_t page = first; page < first + length;) {
            uint64_t chunk = page / chunks->pages, end = (chunk + 1) * chunks->pages;
            end = end < first + length ? end : first + length;
            chunks->counts[chunk] += (uint32_t)(end - page);
            page = end;
        }
    }
    return total;
}

/* Dirty pages that stay unwatched if only chunks with at least `least` of them become hot. */
static uint64_t left_below(const struct chunks *chunks, uint64_t least)
{
    uint64_t left = 0;
    for (uint64_t i = 0; i < chunks->hot.n_bits; i++)
        if (!bitmap_has(&chunks->hot, i) && chunks->counts[i] < least)
            left += chunks->counts[i];
    return left;
}

void chunks_find_hot(struct chunks *chunks, const struct bitmap *dirty, struct bitmap *ret_found)
{
    uint64_t may_stay = count(chunks, dirty) / CHUNKS_LEFT_SHARE;
    uint64_t least = chunks->pages * 2;
    while (least > 1 && left_below(chunks, least) > may_stay)
        least /= 2;
    for (uint64_t i = 0; i < chunks->hot.n_bits; i++)
        if (!bitmap_has(&chunks->hot, i) && chunks->counts[i] >= least)
            bitmap_set(ret_found, i);
}

uint64_t chunks_next_run(const struct chunks *chunks, bool is_hot, uint64_t from, uint64_t *ret_first)
{
    uint64_t n_chunks = chunks->hot.n_bits;
    uint64_t chunk = (from + chunks->pages - 1) / chunks->pages, first, length;
    length = bitmap_next_run(&chunks->hot, chunk, n_chunks, &first);
    uint64_t begin = is_hot ? first : chunk;
    uint64_t end = is_hot ? first + length : first;
    if (!is_hot && begin == end && length) {
        /* It begins with hot ones. */
        begin = first + length;
        (void)bitmap_next_run(&chunks->hot, begin, n_chunks, &end);
    }
    *ret_first = begin * chunks->pages;
    uint64_t limit = end * chunks->pages < chunks->n_pages ? end * chunks->pages : chunks->n_pages;
    return limit > *ret_first ? limit - *ret_first : 0;
}
