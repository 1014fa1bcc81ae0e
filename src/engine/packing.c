/* SPDX-License-Identifier: Apache-2.0 */
/* What all workers of a source share about codecs, and when deltas begin and end. */
#include "base/clock.h"
#include "engine/packer.h"

#define CACHE_BYTES_MAX (512ull << 20)
/* A round with less data than this says nothing about the link. */
#define TELLING_BYTES (4ull << 20)
/* Within a round, what lies in the buffers of connections makes the link look faster than it is. */
#define TELLING_EARLY_BYTES (24ull << 20)
/* A page in the cache costs 1 to 10 us (first touch and copy), and later one to compare. A link that takes
 * pages faster than this is not worth it. */
#define LINK_BYTES_S_MAX 1000000000ull
/* A link that is the bottleneck works for at least so many per cent of the workers' time. Where source and
 * destination share two busy cores and nothing is shaped, it is 45 to 60. */
#define LINK_WORKS_PERCENT 80u
/* Rounds without a cache after one that was in vain, at first and at most. */
#define REST_FIRST 2u
#define REST_MAX 64u
/* So many pages with a base tell whether deltas are of use. */
#define TELLING_BASES 256u

static unsigned allowed_codecs(enum engine_compression compression)
{
    switch (compression) {
    case ENGINE_COMPRESSION_AUTO:
        return 1u << CODEC_RAW | 1u << CODEC_LZ4 | 1u << CODEC_ZSTD_1 | 1u << CODEC_ZSTD_3;
    case ENGINE_COMPRESSION_LZ4:
        return 1u << CODEC_LZ4;
    case ENGINE_COMPRESSION_ZSTD:
        return 1u << CODEC_ZSTD_1;
    default:
        return 1u << CODEC_RAW;
    }
}

int packing_init(struct packing *packing, struct err *err)
{
    uint64_t bytes = packing->cache_bytes;
    if (!bytes)
        bytes = packing->n_pages * ENGINE_PAGE_SIZE / 4;
    if (!packing->cache_bytes && bytes > CACHE_BYTES_MAX)
        bytes = CACHE_BYTES_MAX;
    (void)pthread_mutex_init(&packing->lock, NULL);
    codec_policy_init(&packing->policy, packing->n_workers, allowed_codecs(packing->compression));
    packing->rest_next = REST_FIRST;
    if (packing->delta == ENGINE_DELTA_OFF)
        return 0;
    return delta_cache_init(&packing->cache, bytes, packing->n_pages, err);
}

void packing_clear(struct packing *packing)
{
    delta_cache_clear(&packing->cache);
    (void)pthread_mutex_destroy(&packing->lock);
}

static uint64_t get(const uint64_t *counter)
{
    return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

/* Whether the round so far shows a link that is slower than a cache. */
static bool link_is_slow(const struct packing *packing, uint64_t telling_bytes)
{
    const struct packing_round *round = &packing->round;
    uint64_t raw_bytes = get(&round->raw_bytes);
    uint64_t time_ns = get(&round->wait_ns) + get(&round->busy_ns);
    if (raw_bytes < telling_bytes)
        return false;
    double seconds = (double)(clock_now_ns() - round->begin_ns + 1) / (double)NS_PER_S;
    return (double)raw_bytes / seconds < LINK_BYTES_S_MAX &&
           get(&round->link_ns) * 100 >= time_ns * LINK_WORKS_PERCENT;
}

bool packing_keeps_hot_pages(const struct packing *packing)
{
    if (packing->delta == ENGINE_DELTA_OFF)
        return false;
    return packing->delta == ENGINE_DELTA_ON || link_is_slow(packing, TELLING_EARLY_BYTES);
}

static bool was_in_vain(const struct packing_round *round)
{
    return round->n_bases >= TELLING_BASES && round->n_deltas * 4 < round->n_bases;
}

static void decide_cache(struct packing *packing, uint32_t n)
{
    if (packing->is_cached && was_in_vain(&packing->round)) {
        packing->is_cached = false;
        packing->rest_rounds = packing->rest_next;
        packing->rest_next = packing->rest_next < REST_MAX ? 2 * packing->rest_next : REST_MAX;
        packing->is_filled = false;
        delta_cache_forget_all(&packing->cache);
        return;
    }
    if (packing->is_cached || packing->delta == ENGINE_DELTA_OFF || !n)
        return;
    if (packing->rest_rounds)
        packing->rest_rounds--;
    else
        packing->is_cached =
            packing->is_filled || packing->delta == ENGINE_DELTA_ON || link_is_slow(packing, TELLING_BYTES);
}

void packing_begin_round(struct packing *packing, uint32_t n)
{
    decide_cache(packing, n);
    packing->round = (struct packing_round){.begin_ns = clock_now_ns()};
    codec_policy_pause(&packing->policy);
}

void packing_forget(struct packing *packing, const struct wire_extent *extents, uint32_t n_extents)
{
    if (!__atomic_load_n(&packing->is_filled, __ATOMIC_RELAXED))
        return;
    for (uint32_t i = 0; i < n_extents; i++) {
        uint64_t first = extents[i].offset / ENGINE_PAGE_SIZE, count = extents[i].length / ENGINE_PAGE_SIZE;
        for (uint64_t page = first; page < first + count; page++)
            delta_cache_forget(&packing->cache, page);
    }
}

void packing_forget_pages(struct packing *packing, const struct bitmap *pages)
{
    if (__atomic_load_n(&packing->is_filled, __ATOMIC_RELAXED))
        delta_cache_forget_pages(&packing->cache, pages);
}

void packing_counts(const struct packing *packing, struct engine_codec_counts ret_counts[ENGINE_CODECS])
{
    for (unsigned i = 0; i < ENGINE_CODECS; i++)
        ret_counts[i] = (struct engine_codec_counts){.pages = get(&packing->counts[i].pages),
                                                     .raw_bytes = get(&packing->counts[i].raw_bytes),
                                                     .wire_bytes = get(&packing->counts[i].wire_bytes)};
}
