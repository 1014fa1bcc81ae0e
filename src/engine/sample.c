/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a forecast rests on. A part of the memory, taken evenly from all of it, crosses the real channels
 * through the real workers into memory that is new on the other side, as in a first round: the rate that
 * comes out has everything in it (reading, zero pages, codec, encryption, network, first touch). Then the
 * guest is watched for 1.6 s, and what it dirtied last is sent as in a later round.
 */
#include <poll.h>
#include <string.h>
#include <time.h>

#include "base/bitmap.h"
#include "base/clock.h"
#include "base/err.h"
#include "engine/forecast.h"
#include "engine/halt.h"
#include "engine/ram.h"
#include "engine/source.h"

/* Bursts grow until one takes long enough to be trusted. All of them take 0.2 s on any link from 10 Mbit/s
 * on. */
#define BURST_FIRST_BYTES (256ull << 10)
#define BURST_MAX_BYTES (64ull << 20)
#define BURST_GROWTH 4
#define BURST_ENOUGH_NS (50 * NS_PER_MS)
/* Taken from one place before the next. */
#define CHUNK_PAGES 64u
#define N_SYNCS 3
/* Fewer dirty pages than this (4 MiB) say more about wake-ups than about a rate, and need none. */
#define AGAIN_MIN_PAGES 1024u
#define AGAIN_MAX_NS (60 * NS_PER_MS)

struct sampling {
    struct engine_source *source;
    struct forecast_facts facts;
    struct bitmap data;  /* pages that have memory and were not sent */
    struct bitmap sent;  /* all that were */
    struct bitmap pages; /* of the next round */
    struct bitmap dirty; /* of the last scan */
    uint32_t n_rounds;
    uint64_t n_pages, n_zero;            /* of all bursts */
    uint64_t content_bytes_s;            /* of the last burst */
    uint64_t wire_bytes_s, wire_percent; /* ... and what it was on the wire */
};

/* Into sampling->pages: about `wanted` pages of `from`, evenly spread. */
static void choose(struct sampling *sampling, const struct bitmap *from, uint64_t wanted)
{
    uint64_t n_chunks = (bitmap_count(from) + CHUNK_PAGES - 1) / CHUNK_PAGES;
    uint64_t n_wanted = (wanted + CHUNK_PAGES - 1) / CHUNK_PAGES;
    uint64_t passed = 0, first, count;
    bitmap_clear(&sampling->pages);
    for (uint64_t at = 0; (count = bitmap_next_run(from, at, from->n_bits, &first)); at = first + count) {
        uint64_t room = CHUNK_PAGES - passed % CHUNK_PAGES, chunk = passed / CHUNK_PAGES;
        count = count < room ? count : room;
        /* True for n_wanted of n_chunks. */
        if (n_wanted >= n_chunks || (chunk * n_wanted) % n_chunks < n_wanted)
            bitmap_set_range(&sampling->pages, first, count);
        passed += count;
    }
}

/* Sends sampling->pages; ret->duration_ns is without what a round costs that sends nothing. */
static int burst(struct sampling *sampling, struct engine_round *ret, struct err *err)
{
    *ret = (struct engine_round){.n = sampling->n_rounds++};
    if (source_send(sampling->source, &sampling->pages, ret, err) < 0)
        return -1;
    uint64_t sync_ns = sampling->facts.sync_ns;
    if (ret->pages)
        ret->duration_ns -= ret->duration_ns / 2 < sync_ns ? ret->duration_ns / 2 : sync_ns;
    bitmap_add(&sampling->sent, &sampling->pages);
    bitmap_remove(&sampling->data, &sampling->pages);
    return 0;
}

static int time_syncs(struct sampling *sampling, struct err *err)
{
    bitmap_clear(&sampling->pages);
    uint64_t best_ns = UINT64_MAX;
    for (unsigned i = 0; i < N_SYNCS; i++) {
        struct engine_round round;
        if (burst(sampling, &round, err) < 0)
            return -1;
        best_ns = round.duration_ns < best_ns ? round.duration_ns : best_ns;
    }
    sampling->facts.sync_ns = best_ns;
    return 0;
}

static int send_bursts(struct sampling *sampling, struct err *err)
{
    for (uint64_t bytes = BURST_FIRST_BYTES; bytes <= BURST_MAX_BYTES; bytes *= BURST_GROWTH) {
        struct engine_round round;
        choose(sampling, &sampling->data, bytes / ENGINE_PAGE_SIZE);
        if (!bitmap_count(&sampling->pages))
            break; /* there is no more */
        if (burst(sampling, &round, err) < 0)
            return -1;
        uint64_t content = (round.pages - round.zero_pages) * ENGINE_PAGE_SIZE;
        sampling->n_pages += round.pages;
        sampling->n_zero += round.zero_pages;
        sampling->facts.first_bytes_s = clock_per_second(round.pages * ENGINE_PAGE_SIZE, round.duration_ns);
        if (content) {
            sampling->content_bytes_s = clock_per_second(content, round.duration_ns);
            sampling->wire_bytes_s = clock_per_second(round.bytes, round.duration_ns);
            sampling->wire_percent = round.bytes * 100 / content;
        }
        if (round.duration_ns >= BURST_ENOUGH_NS)
            break;
    }
    return 0;
}

/* Sleeps until then; -1 if the attempt is over. */
static int sleep_until(const struct halt *halt, uint64_t then_ns, struct err *err)
{
    for (;;) {
        uint64_t now_ns = clock_now_ns();
        if (halt_check(halt, err) < 0)
            return -1;
        if (now_ns >= then_ns)
            return 0;
        struct timespec left = {(time_t)((then_ns - now_ns) / NS_PER_S),
                                (long)((then_ns - now_ns) % NS_PER_S)};
        struct pollfd wait = {.fd = halt_fd(halt), .events = POLLIN};
        (void)ppoll(&wait, 1, &left, NULL);
    }
}

static int scan(struct sampling *sampling, uint64_t *ret_begin_ns, struct err *err)
{
    *ret_begin_ns = clock_now_ns();
    bitmap_clear(&sampling->dirty);
    if (source_scan(sampling->source, &sampling->dirty, err) < 0)
        return -1;
    sampling->facts.scan_ns = clock_now_ns() - *ret_begin_ns;
    return 0;
}

/* Each scan makes all of it clean again, so each interval stands for itself. A page is protected and looked
 * at at the same place of two scans: their beginnings are what counts. */
static int watch_guest(struct sampling *sampling, struct err *err)
{
    static const uint16_t async_ms[] = {10, 25, 50, 100, 200, 400, 800};
    /* Here each first write to a page is held up for some microseconds: less of it. */
    static const uint16_t sync_ms[] = {10, 25, 50, 100, 200};
    bool is_async = engine_source_dirty(sampling->source) == ENGINE_DIRTY_ASYNC;
    const uint16_t *intervals_ms = is_async ? async_ms : sync_ms;
    unsigned n = is_async ? sizeof async_ms / sizeof *async_ms : sizeof sync_ms / sizeof *sync_ms;
    struct forecast_facts *facts = &sampling->facts;
    uint64_t begin_ns, end_ns;
    if (scan(sampling, &begin_ns, err) < 0)
        return -1;
    for (unsigned i = 0; i < n; i++) {
        if (sleep_until(source_halt(sampling->source), begin_ns + intervals_ms[i] * NS_PER_MS, err) < 0 ||
            scan(sampling, &end_ns, err) < 0)
            return -1;
        facts->points[facts->n_points++] =
            (struct forecast_point){end_ns - begin_ns, bitmap_count(&sampling->dirty) * ENGINE_PAGE_SIZE};
        begin_ns = end_ns;
    }
    return 0;
}

/* Dirty pages as a later round sends them: preferably such as the other side has in an older version. */
static int send_again(struct sampling *sampling, struct err *err)
{
    struct engine_round round;
    uint64_t n_most = sampling->content_bytes_s / ENGINE_PAGE_SIZE * AGAIN_MAX_NS / NS_PER_S;
    sampling->facts.again_bytes_s = sampling->content_bytes_s;
    bitmap_keep(&sampling->sent, &sampling->dirty);
    bool has_enough = bitmap_count(&sampling->sent) >= AGAIN_MIN_PAGES;
    choose(sampling, has_enough ? &sampling->sent : &sampling->dirty, n_most);
    if (bitmap_count(&sampling->pages) < AGAIN_MIN_PAGES)
        return 0;
    if (burst(sampling, &round, err) < 0)
        return -1;
    uint64_t content = (round.pages - round.zero_pages) * ENGINE_PAGE_SIZE;
    if (content)
        sampling->facts.again_bytes_s = clock_per_second(content, round.duration_ns);
    return 0;
}

static int take_samples(struct sampling *sampling, struct err *err)
{
    const struct ram *ram = source_ram(sampling->source);
    uint64_t n_pages = ram->size / ENGINE_PAGE_SIZE, begin_ns = clock_now_ns();
    if (bitmap_init(&sampling->data, n_pages, err) < 0 || bitmap_init(&sampling->sent, n_pages, err) < 0 ||
        bitmap_init(&sampling->pages, n_pages, err) < 0 || bitmap_init(&sampling->dirty, n_pages, err) < 0 ||
        ram_find_data(ram, &sampling->data, err) < 0)
        return -1;
    sampling->facts.begin_ns += clock_now_ns() - begin_ns;
    sampling->facts.used_bytes = bitmap_count(&sampling->data) * ENGINE_PAGE_SIZE;
    if (time_syncs(sampling, err) < 0 || send_bursts(sampling, err) < 0 || watch_guest(sampling, err) < 0 ||
        send_again(sampling, err) < 0)
        return -1;
    if (sampling->n_pages)
        sampling->facts.zero_bytes =
            (uint64_t)((unsigned __int128)sampling->facts.used_bytes * sampling->n_zero / sampling->n_pages);
    return source_end(sampling->source, err);
}

static void fill(const struct sampling *sampling, const struct forecast *forecast,
                 struct engine_forecast *ret)
{
    const struct forecast_facts *facts = &sampling->facts;
    *ret = (struct engine_forecast){
        .duration_ns = forecast->duration_ns,
        .downtime_ns = forecast->downtime_ns,
        .n_rounds = forecast->n_rounds,
        .needs_sdps = forecast->needs_sdps,
        .converges = forecast->converges,
        .used_bytes = facts->used_bytes,
        .zero_percent = sampling->n_pages ? (uint32_t)(sampling->n_zero * 100 / sampling->n_pages) : 0,
        .wire_percent = (uint32_t)sampling->wire_percent,
        .dirty_bytes_s = forecast->dirty_bytes_s,
        .working_set_bytes = forecast->working_set_bytes,
        .link_bytes_s = sampling->wire_bytes_s,
        .first_bytes_s = facts->first_bytes_s,
        .again_bytes_s = facts->again_bytes_s,
        .sync_ns = facts->sync_ns,
    };
}

int engine_source_forecast(struct engine_source *source, const struct engine_costs *costs,
                           struct engine_forecast *ret_forecast, struct err *err)
{
    const struct engine_source_config *config = source_config(source);
    struct sampling sampling = {.source = source,
                                .facts = {.ram_size = config->ram_size,
                                          .begin_ns = costs->begin_ns,
                                          .switch_ns = costs->switch_ns,
                                          .goal_ns = config->downtime_goal_ns,
                                          .fixed_ns = config->fixed_downtime_ns,
                                          .max_rounds = config->max_rounds}};
    struct forecast forecast;
    struct err local;
    err = err ? err : &local;
    int result = take_samples(&sampling, err);
    if (result == 0) {
        forecast_play(&sampling.facts, &forecast);
        fill(&sampling, &forecast, ret_forecast);
    }
    bitmap_free_bits(&sampling.data);
    bitmap_free_bits(&sampling.sent);
    bitmap_free_bits(&sampling.pages);
    bitmap_free_bits(&sampling.dirty);
    return result < 0 ? source_fail(source, err) : 0;
}
