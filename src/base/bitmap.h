/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A set of small numbers (pages). Single bits may be set and cleared by several threads at once: every access
 * is atomic and relaxed, so ordering between threads comes from the queue or lock that hands the work over.
 */
#ifndef BASE_BITMAP_H
#define BASE_BITMAP_H

#include <stdbool.h>
#include <stdint.h>

struct err;

struct bitmap {
    uint64_t *words; /* heap */
    uint64_t n_bits;
};

/* All bits clear. */
int bitmap_init(struct bitmap *bitmap, uint64_t n_bits, struct err *err);
/* Fine on a zeroed or already cleared struct. */
void bitmap_free_bits(struct bitmap *bitmap);

bool bitmap_has(const struct bitmap *bitmap, uint64_t bit);
void bitmap_set(struct bitmap *bitmap, uint64_t bit);
/* [first, first + count) must lie inside. */
void bitmap_set_range(struct bitmap *bitmap, uint64_t first, uint64_t count);
void bitmap_clear_range(struct bitmap *bitmap, uint64_t first, uint64_t count);
void bitmap_clear(struct bitmap *bitmap);
/* Both have the same size, and nobody else changes `bitmap`. Words that stay as they are are not written:
 * memory that was never touched is not touched. */
void bitmap_add(struct bitmap *bitmap, const struct bitmap *others);
void bitmap_keep(struct bitmap *bitmap, const struct bitmap *others);
void bitmap_remove(struct bitmap *bitmap, const struct bitmap *others);
uint64_t bitmap_count(const struct bitmap *bitmap);
/* The first run of set bits in [from, limit): its start in *ret_first and its length, 0 if there is none. */
uint64_t bitmap_next_run(const struct bitmap *bitmap, uint64_t from, uint64_t limit, uint64_t *ret_first);

#endif
