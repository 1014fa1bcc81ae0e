/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RAM in chunks of equal size: which of them are written so much that their writers have to be held up. To
 * move a chunk to the synchronous userfaultfd costs two reads of its memory, so a chunk with a stray page or
 * two is left where it is: such chunks together may hold one in CHUNKS_LEFT_SHARE of the dirty pages.
 * Thread: one at a time.
 */
#ifndef ENGINE_CHUNKS_H
#define ENGINE_CHUNKS_H

#include <stdint.h>

#include "base/bitmap.h"

#define CHUNKS_LEFT_SHARE 16
/* A guest's RAM may fall into half as many separate runs: the kernel keeps a mapping for each. */
#define CHUNKS_MAX 8192

struct chunks {
    uint64_t pages; /* of each; the last one may be shorter */
    uint64_t n_pages;
    struct bitmap hot; /* one bit a chunk */
    uint32_t *counts;  /* heap; scratch */
};

/* Chunks of `pages` pages, or that times a power of two for a RAM with too many of them. */
int chunks_init(struct chunks *chunks, uint64_t n_pages, uint64_t pages, struct err *err);
/* Fine on a zeroed struct. */
void chunks_clear(struct chunks *chunks);
/* Sets in `ret_found` (one bit a chunk) those that are not hot yet and shall become so. */
void chunks_find_hot(struct chunks *chunks, const struct bitmap *dirty, struct bitmap *ret_found);
/* The next run of pages in chunks that are hot (or not), at or after page `from`; its length, 0: none. */
uint64_t chunks_next_run(const struct chunks *chunks, bool is_hot, uint64_t from, uint64_t *ret_first);

#endif
