/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A piece of RAM that nobody watches for a moment, while it goes from one userfaultfd to another: what was
 * written meanwhile is found by comparing its pages with what they held before. Only pages that are not
 * dirty anyway: those are what the destination has. A page that was written and holds the same again is none.
 *
 *   unwatched_begin   reads the piece
 *   ...               the caller collects writes once more, since who wrote before this read may have
 *                     been seen in it, and ends and begins the watch
 *   unwatched_end     reads it again
 *
 * Thread: one at a time.
 */
#ifndef ENGINE_UNWATCHED_H
#define ENGINE_UNWATCHED_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/ram.h"

struct bitmap;
struct err;

struct unwatched {
    struct ram ram;
    uint64_t max_pages; /* of a piece */
    uint8_t *before, *after;
    uint64_t first, count; /* the piece, in pages */
    bool is_read;          /* there was a page to compare */
};

int unwatched_init(struct unwatched *unwatched, struct ram ram, uint64_t max_pages, struct err *err);
/* Fine on a zeroed struct. */
void unwatched_clear(struct unwatched *unwatched);
/* `dirty`: of all RAM. */
int unwatched_begin(struct unwatched *unwatched, uint64_t first, uint64_t count, const struct bitmap *dirty,
                    struct err *err);
/* Sets in `dirty` what has changed since. */
int unwatched_end(struct unwatched *unwatched, struct bitmap *dirty, struct err *err);

#endif
