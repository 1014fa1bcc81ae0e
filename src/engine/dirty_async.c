/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation. All of RAM is registered with the asynchronous userfaultfd: the kernel notes each
 * write and lets it pass. That cannot hold a writer back. So when the guest has to be throttled, the chunks
 * that it writes most are moved to the fault server, one piece at a time: unregistered here, registered and
 * protected there. What is written in between is seen by nobody, and found by comparing (unwatched.h). They
 * stay there until the attempt ends.
 *
 * A scan that protects costs KVM its view of all that the call covers, of clean pages too: the guest faults
 * on each of them anew. So a scan first looks without touching anything, and then protects only around what
 * it saw. What counts is what the second call reports: it reports just what it protects, and a write that
 * neither has seen stays for the next scan.
 */
#include "engine/dirty_source.h"

#include <errno.h>
#include <stdlib.h>

#include "base/err.h"
#include "engine/chunks.h"
#include "engine/engine.h"
#include "engine/fault_server.h"
#include "engine/halt.h"
#include "engine/ram.h"
#include "engine/unwatched.h"

#define CHUNK_PAGES ((2ull << 20) / ENGINE_PAGE_SIZE)

/* Of one look: it changes nothing. */
#define LOOK_STEP (64ull << 20)
/* Of one call when the guest stands; still so little that a cancel is seen in time. */
#define STANDING_STEP (1ull << 30)
/* Written pages at most so far apart are protected by one call. */
#define NEAR_BYTES (128ull << 10)
#define REGIONS_MIN 4096

struct dirty_async {
    struct dirty_source base;
    bool registered;
    struct chunks chunks;        /* hot: those of the fault server */
    struct fault_server *faults; /* NULL while nothing was throttled; atomic: snapshots look at it */
    struct unwatched unwatched;  /* set up with it */
    uint64_t look_step, step;    /* of a call that only looks, and of one that protects */
    size_t n_regions;            /* room in each; a call that finds more stops early and is continued */
    struct page_region *seen, *regions;
};

static struct fault_server *faults_of(const struct dirty_source *source)
{
    return __atomic_load_n(&((const struct dirty_async *)source)->faults, __ATOMIC_ACQUIRE);
}

static struct uffd_range pages(const struct dirty_source *source, uint64_t first, uint64_t count)
{
    return (struct uffd_range){source->config.ram_address + first * ENGINE_PAGE_SIZE,
                               count * ENGINE_PAGE_SIZE};
}

static int start(struct dirty_source *source, struct err *err)
{
    struct dirty_async *async = (struct dirty_async *)source;
    struct uffd_range all = pages(source, 0, async->chunks.n_pages);
    if (uffd_enable(source->config.uffd_async, UFFD_FEATURES_ASYNC, err) < 0 ||
        uffd_register(source->config.uffd_async, all, err) < 0)
        return -1;
    async->registered = true;
    return uffd_protect_in_steps(source->config.uffd_async, all, source->config.step, err);
}

/* One call: what was written in [*at, end), at most async->n_regions runs; moves *at to where the kernel
 * stopped. Returns their number, or -1. */
static int scan(const struct dirty_async *async, uint64_t flags, struct page_region *ret_regions,
                uint64_t *at, uint64_t end, struct err *err)
{
    struct pm_scan_arg argument = {.size = sizeof argument,
                                   .flags = flags | PM_SCAN_CHECK_WPASYNC,
                                   .start = *at,
                                   .end = end,
                                   .vec = (uintptr_t)ret_regions,
                                   .vec_len = async->n_regions,
                                   .category_mask = PAGE_IS_WRITTEN,
                                   .return_mask = PAGE_IS_WRITTEN};
    int n_found = ioctl(async->base.config.pagemap_fd, PAGEMAP_SCAN, &argument);
    if (n_found < 0)
        return halt_ioctl_error(errno, "pagemap-scan", "cannot scan guest RAM for written pages", err);
    if (argument.walk_end <= *at || argument.walk_end > end)
        return err_set(err, ERR_INTERNAL, "pagemap-scan", "the scan of guest RAM made no progress");
    *at = argument.walk_end;
    return n_found;
}

/* Protects what is written in [begin, end) again, and notes it. */
static int protect_written(struct dirty_async *async, uint64_t begin, uint64_t end, struct bitmap *dirty,
                           struct err *err)
{
    const struct dirty_source_config *config = &async->base.config;
    for (uint64_t at = begin; at < end;) {
        uint64_t step_end = end - at < async->step ? end : at + async->step;
        int n_found = scan(async, PM_SCAN_WP_MATCHING, async->regions, &at, step_end, err);
        if (n_found < 0 || halt_check(config->halt, err) < 0)
            return -1;
        for (int i = 0; i < n_found; i++) {
            uint64_t offset = async->regions[i].start - config->ram_address;
            uint64_t length = async->regions[i].end - async->regions[i].start;
            bitmap_set_range(dirty, offset / ENGINE_PAGE_SIZE, length / ENGINE_PAGE_SIZE);
        }
    }
    return 0;
}

/* A range that is registered here from end to end. */
static int collect_range(struct dirty_async *async, struct uffd_range range, struct bitmap *dirty,
                         struct err *err)
{
    uint64_t at = range.start, range_end = range.start + range.length;
    while (at < range_end) {
        uint64_t end = range_end - at < async->look_step ? range_end : at + async->look_step;
        int n_seen = scan(async, 0, async->seen, &at, end, err);
        if (n_seen < 0 || halt_check(async->base.config.halt, err) < 0)
            return -1;
        for (int first = 0, next; first < n_seen; first = next) {
            for (next = first + 1;
                 next < n_seen && async->seen[next].start - async->seen[next - 1].end <= NEAR_BYTES; next++)
                ;
            if (protect_written(async, async->seen[first].start, async->seen[next - 1].end, dirty, err) < 0)
                return -1;
        }
    }
    return 0;
}

static int collect(struct dirty_source *source, struct bitmap *dirty, struct err *err)
{
    struct dirty_async *async = (struct dirty_async *)source;
    uint64_t first, count;
    for (uint64_t at = 0; (count = chunks_next_run(&async->chunks, false, at, &first)); at = first + count)
        if (collect_range(async, pages(source, first, count), dirty, err) < 0)
            return -1;
    return async->faults ? fault_server_collect(async->faults, dirty, err) : 0;
}

/* A piece is ours or the fault server's; if this fails in between, the attempt is over. */
static int move_piece(struct dirty_async *async, uint64_t first, uint64_t count, struct bitmap *dirty,
                      struct err *err)
{
    const struct dirty_source_config *config = &async->base.config;
    struct uffd_range range = pages(&async->base, first, count);
    if (unwatched_begin(&async->unwatched, first, count, dirty, err) < 0 ||
        collect_range(async, range, dirty, err) < 0 || uffd_unregister(config->uffd_async, range, err) < 0 ||
        fault_server_add(async->faults, range, err) < 0)
        return -1;
    return unwatched_end(&async->unwatched, dirty, err);
}

static int move_chunk(struct dirty_async *async, uint64_t chunk, struct bitmap *dirty, struct err *err)
{
    uint64_t first = chunk * async->chunks.pages;
    uint64_t end = async->chunks.n_pages - first < async->chunks.pages ? async->chunks.n_pages
                                                                       : first + async->chunks.pages;
    bitmap_set(&async->chunks.hot, chunk);
    for (uint64_t at = first; at < end; at += CHUNK_PAGES)
        if (move_piece(async, at, end - at < CHUNK_PAGES ? end - at : CHUNK_PAGES, dirty, err) < 0)
            return -1;
    return 0;
}

static int move_hot_chunks(struct dirty_async *async, struct bitmap *dirty, struct err *err)
{
    struct bitmap found = {0};
    uint64_t chunk;
    if (bitmap_init(&found, async->chunks.hot.n_bits, err) < 0)
        return -1;
    chunks_find_hot(&async->chunks, dirty, &found);
    int result = 0;
    for (uint64_t at = 0; result == 0 && bitmap_next_run(&found, at, found.n_bits, &chunk); at = chunk + 1)
        result = move_chunk(async, chunk, dirty, err);
    bitmap_free_bits(&found);
    return result;
}

static int start_fault_server(struct dirty_async *async, struct err *err)
{
    const struct dirty_source_config *config = &async->base.config;
    struct ram ram = {config->ram_fd, config->ram_size};
    if (!async->unwatched.before && unwatched_init(&async->unwatched, ram, CHUNK_PAGES, err) < 0)
        return -1;
    struct fault_server *faults = fault_server_new(config, err);
    if (!faults)
        return -1;
    __atomic_store_n(&async->faults, faults, __ATOMIC_RELEASE);
    return 0;
}

static int throttle(struct dirty_source *source, uint64_t bytes_s, struct bitmap *dirty, struct err *err)
{
    struct dirty_async *async = (struct dirty_async *)source;
    if (!async->faults && bytes_s && start_fault_server(async, err) < 0)
        return -1;
    if (async->faults)
        fault_server_throttle(async->faults, bytes_s);
    return bytes_s ? move_hot_chunks(async, dirty, err) : 0;
}

static int ease(struct dirty_source *source, struct err *err)
{
    struct fault_server *faults = faults_of(source);
    return faults ? fault_server_ease(faults, err) : 0;
}

/* Nobody waits for the locks that a scan holds, and each call costs KVM its view of all that it covers. */
static int guest_stopped(struct dirty_source *source, struct err *err)
{
    struct dirty_async *async = (struct dirty_async *)source;
    async->step = async->look_step = STANDING_STEP;
    struct fault_server *faults = faults_of(source);
    return faults ? fault_server_guest_stopped(faults, err) : 0;
}

static uint64_t stun_ns(const struct dirty_source *source)
{
    struct fault_server *faults = faults_of(source);
    return faults ? fault_server_stun_ns(faults) : 0;
}

static void stuns(const struct dirty_source *source, struct engine_stuns *ret_stuns)
{
    struct fault_server *faults = faults_of(source);
    if (faults)
        fault_server_stuns(faults, ret_stuns);
}

static void async_free(struct dirty_source *source)
{
    struct dirty_async *async = (struct dirty_async *)source;
    uint64_t first, count;
    /* Writers wait only there. */
    fault_server_free(async->faults);
    for (uint64_t at = 0; async->registered && (count = chunks_next_run(&async->chunks, false, at, &first));
         at = first + count)
        uffd_let_go(source->config.uffd_async, pages(source, first, count), source->config.step);
    chunks_clear(&async->chunks);
    unwatched_clear(&async->unwatched);
    free(async->seen);
    free(async->regions);
    free(async);
}

static const struct dirty_source_ops ops = {
    .name = "async",
    .start = start,
    .collect = collect,
    .throttle = throttle,
    .ease = ease,
    .guest_stopped = guest_stopped,
    .stun_ns = stun_ns,
    .stuns = stuns,
    .free = async_free,
};

struct dirty_source *dirty_async_new(const struct dirty_source_config *config, struct err *err)
{
    size_t n_regions = config->step / ENGINE_PAGE_SIZE / 2 + 1;
    if (n_regions < REGIONS_MIN)
        n_regions = REGIONS_MIN;
    struct dirty_async *async = calloc(1, sizeof *async);
    if (!async) {
        (void)err_sys(err, ENOMEM, "no-memory", "no memory to track writes");
        return NULL;
    }
    async->base.ops = &ops;
    async->base.config = *config;
    async->step = config->step;
    async->look_step = LOOK_STEP;
    async->n_regions = n_regions;
    async->seen = calloc(n_regions, sizeof async->seen[0]);
    async->regions = calloc(n_regions, sizeof async->regions[0]);
    if (!async->seen || !async->regions) {
        (void)err_sys(err, ENOMEM, "no-memory", "no memory to track writes");
        async_free(&async->base);
        return NULL;
    }
    if (chunks_init(&async->chunks, config->ram_size / ENGINE_PAGE_SIZE, CHUNK_PAGES, err) < 0) {
        async_free(&async->base);
        return NULL;
    }
    return &async->base;
}
