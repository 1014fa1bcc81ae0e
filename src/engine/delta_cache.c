/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/delta_cache.h"

#include <errno.h>
#include <sys/mman.h>

#include "base/bitmap.h"
#include "base/err.h"
#include "engine/engine.h"

/* A slot: page number + 1 in the upper half, then the round, the lowest bit while somebody holds it. 0: free.
 */
#define WAYS 4u
#define HELD 1ull
#define ROUND_MAX 0x7fffffffu
#define PAGE_LIMIT 0xffffffffu
/* An entry that was not used for this many rounds may go. */
#define COLD_ROUNDS 2u

static uint64_t slot_word(uint64_t page, uint32_t round)
{
    return (page + 1) << 32 | (uint64_t)(round & ROUND_MAX) << 1;
}

static uint64_t slot_page(uint64_t word)
{
    return (word >> 32) - 1;
}

static uint32_t slot_round(uint64_t word)
{
    return (uint32_t)(word >> 1) & ROUND_MAX;
}

/* Untouched parts of it cost nothing. */
static void *reserve(uint64_t bytes)
{
    void *memory =
        mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

static uint64_t slots_bytes(const struct delta_cache *cache)
{
    return cache->n_sets * WAYS * sizeof cache->slots[0];
}

static uint64_t arena_bytes(const struct delta_cache *cache)
{
    return cache->n_sets * WAYS * ENGINE_PAGE_SIZE;
}

int delta_cache_init(struct delta_cache *cache, uint64_t max_bytes, uint64_t n_pages, struct err *err)
{
    uint64_t n_entries = max_bytes / ENGINE_PAGE_SIZE;
    if (n_entries > n_pages)
        n_entries = n_pages;
    cache->n_sets = (n_entries + WAYS - 1) / WAYS;
    if (!cache->n_sets)
        cache->n_sets = 1;
    cache->slots = reserve(slots_bytes(cache));
    cache->arena = reserve(arena_bytes(cache));
    if (!cache->slots || !cache->arena)
        return err_sys(err, ENOMEM, "no-memory", "no address space for a cache of %llu bytes",
                       (unsigned long long)arena_bytes(cache));
    /* Where there are no large pages, small ones do. */
    (void)madvise(cache->arena, arena_bytes(cache), MADV_HUGEPAGE);
    return 0;
}

void delta_cache_clear(struct delta_cache *cache)
{
    if (cache->slots)
        (void)munmap(cache->slots, slots_bytes(cache));
    if (cache->arena)
        (void)munmap(cache->arena, arena_bytes(cache));
    *cache = (struct delta_cache){0};
}

static uint64_t *set_of(const struct delta_cache *cache, uint64_t page)
{
    return cache->slots + page % cache->n_sets * WAYS;
}

static bool hold(uint64_t *slot, uint64_t word)
{
    return __atomic_compare_exchange_n(slot, &word, word | HELD, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
}

/* The slot of a page, held, and its word in *ret_word; NULL if it has none. Only who sends the page holds its
 * slot, so one that is held is another page's. */
static uint64_t *hold_page(const struct delta_cache *cache, uint64_t page, uint64_t *ret_word)
{
    uint64_t *set = set_of(cache, page);
    for (unsigned way = 0; way < WAYS; way++) {
        *ret_word = __atomic_load_n(&set[way], __ATOMIC_RELAXED);
        if (*ret_word && slot_page(*ret_word) == page && !(*ret_word & HELD) && hold(&set[way], *ret_word))
            return &set[way];
    }
    return NULL;
}

static bool is_cold(uint64_t word, uint32_t round)
{
    return !word || (!(word & HELD) && slot_round(word) + COLD_ROUNDS < (round & ROUND_MAX));
}

static uint64_t *hold_cold(const struct delta_cache *cache, uint64_t page, uint32_t round)
{
    uint64_t *set = set_of(cache, page);
    for (unsigned way = 0; way < WAYS; way++) {
        uint64_t word = __atomic_load_n(&set[way], __ATOMIC_RELAXED);
        if (is_cold(word, round) && hold(&set[way], word))
            return &set[way];
    }
    return NULL;
}

/* Entries of the same way lie side by side: pages that are, share large pages of the cache. */
static uint8_t *content_of(const struct delta_cache *cache, const uint64_t *slot)
{
    uint64_t number = (uint64_t)(slot - cache->slots);
    return cache->arena + (number % WAYS * cache->n_sets + number / WAYS) * ENGINE_PAGE_SIZE;
}

bool delta_cache_take(struct delta_cache *cache, uint64_t page, uint32_t round, bool may_add,
                      struct delta_entry *ret_entry)
{
    uint64_t word;
    if (page >= PAGE_LIMIT)
        return false;
    uint64_t *slot = hold_page(cache, page, &word);
    ret_entry->is_base = slot && slot_round(word) < (round & ROUND_MAX);
    if (!slot && may_add)
        slot = hold_cold(cache, page, round);
    if (!slot)
        return false;
    ret_entry->slot = slot;
    ret_entry->content = content_of(cache, slot);
    return true;
}

void delta_cache_keep(struct delta_entry *entry, uint64_t page, uint32_t round)
{
    __atomic_store_n(entry->slot, slot_word(page, round), __ATOMIC_RELEASE);
}

void delta_cache_forget(struct delta_cache *cache, uint64_t page)
{
    uint64_t word;
    uint64_t *slot = page < PAGE_LIMIT ? hold_page(cache, page, &word) : NULL;
    if (slot)
        __atomic_store_n(slot, 0, __ATOMIC_RELEASE);
}

void delta_cache_forget_pages(struct delta_cache *cache, const struct bitmap *pages)
{
    uint64_t first, count;
    for (uint64_t from = 0; (count = bitmap_next_run(pages, from, pages->n_bits, &first));
         from = first + count)
        for (uint64_t page = first; page < first + count; page++)
            delta_cache_forget(cache, page);
}

void delta_cache_forget_all(struct delta_cache *cache)
{
    (void)madvise(cache->slots, slots_bytes(cache), MADV_DONTNEED);
    (void)madvise(cache->arena, arena_bytes(cache), MADV_DONTNEED);
}

uint64_t delta_cache_bytes(const struct delta_cache *cache)
{
    uint64_t used = 0;
    for (uint64_t i = 0; i < cache->n_sets * WAYS; i++)
        used += __atomic_load_n(&cache->slots[i], __ATOMIC_RELAXED)
                    ? ENGINE_PAGE_SIZE + sizeof cache->slots[0]
                    : 0;
    return used;
}
