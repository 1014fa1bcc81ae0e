/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The last version sent of pages that are sent again and again: the source's side of a DELTA record.
 *
 * An entry's content is, byte for byte, what was sent last for its page, or there is no entry: whoever sends
 * a page in any form brings its entry up to date or forgets it. It serves as a base only in a later round
 * than the one it was sent in, because only the end of a round says that the destination has placed it; a
 * page that is sent twice in one round is sent whole. Pages of an earlier round that were never acknowledged
 * are to be forgotten before the next round.
 *
 * One arena of whole pages, four to a set, chosen by page number: neighbours never compete. Memory is taken
 * when an entry is first used, 4104 bytes each. A page that was sent in the last rounds keeps its place, so
 * that more hot pages than places give hits for some of them instead of none for all.
 *
 * Thread: any, for different pages; delta_cache_forget_all while nobody holds an entry. Nothing here waits.
 */
#ifndef ENGINE_DELTA_CACHE_H
#define ENGINE_DELTA_CACHE_H

#include <stdbool.h>
#include <stdint.h>

struct bitmap;
struct err;

struct delta_cache {
    uint64_t n_sets;
    uint64_t *slots; /* n_sets * 4 words, atomic */
    uint8_t *arena;  /* n_sets * 4 pages */
};

/* `max_bytes` is the room for contents, `n_pages` the size of guest RAM. `cache` is zeroed. On failure
 * delta_cache_clear is still due; it is fine on a zeroed cache. */
int delta_cache_init(struct delta_cache *cache, uint64_t max_bytes, uint64_t n_pages, struct err *err);
void delta_cache_clear(struct delta_cache *cache);

struct delta_entry {
    uint8_t *content; /* a page */
    bool is_base;     /* holds what was sent in an earlier round; else the content means nothing */
    uint64_t *slot;
};

/* The entry of a page that is sent in this round, for writing; with `may_add` a new one if there is none.
 * False: no entry and no room. The holder fills in what it sends, then keeps or drops it. */
bool delta_cache_take(struct delta_cache *cache, uint64_t page, uint32_t round, bool may_add,
                      struct delta_entry *ret_entry);
/* The content is what is sent for `page` in `round`. */
void delta_cache_keep(struct delta_entry *entry, uint64_t page, uint32_t round);
void delta_cache_forget(struct delta_cache *cache, uint64_t page);
void delta_cache_forget_pages(struct delta_cache *cache, const struct bitmap *pages);
/* All of it, and gives the memory back. */
void delta_cache_forget_all(struct delta_cache *cache);
/* Bytes of memory that entries take up now. */
uint64_t delta_cache_bytes(const struct delta_cache *cache);

#endif
