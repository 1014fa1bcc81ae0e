/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/dirty_source.h"

#include <errno.h>
#include <stdlib.h>

#include "base/err.h"
#include "engine/engine.h"
#include "engine/halt.h"
#include "engine/uffd.h"

/* Of one call when the guest stands; still so little that a cancel is seen in time. */
#define STANDING_STEP (1ull << 30)
#define REGIONS_MIN 4096

struct dirty_async {
    struct dirty_source base;
    bool registered;
    uint64_t step;    /* of a scan */
    size_t n_regions; /* room; a scan that finds more stops early and is continued */
    struct page_region regions[];
};

static struct uffd_range all_of_ram(const struct dirty_source *source)
{
    return (struct uffd_range){source->config.ram_address, source->config.ram_size};
}

static int start(struct dirty_source *source, struct err *err)
{
    struct dirty_async *async = (struct dirty_async *)source;
    if (uffd_enable(source->config.uffd, UFFD_FEATURES_ASYNC, err) < 0 ||
        uffd_register(source->config.uffd, all_of_ram(source), err) < 0)
        return -1;
    async->registered = true;
    return uffd_protect_in_steps(source->config.uffd, all_of_ram(source), source->config.step, err);
}

/* One call: reports and protects again what was written in [*at, end), and moves *at to where the kernel
 * stopped. */
static int scan(struct dirty_async *async, uint64_t *at, uint64_t end, struct bitmap *dirty, struct err *err)
{
    const struct dirty_source_config *config = &async->base.config;
    struct pm_scan_arg argument = {.size = sizeof argument,
                                   .flags = PM_SCAN_WP_MATCHING | PM_SCAN_CHECK_WPASYNC,
                                   .start = *at,
                                   .end = end,
                                   .vec = (uintptr_t)async->regions,
                                   .vec_len = async->n_regions,
                                   .category_mask = PAGE_IS_WRITTEN,
                                   .return_mask = PAGE_IS_WRITTEN};
    int n_found = ioctl(config->pagemap_fd, PAGEMAP_SCAN, &argument);
    if (n_found < 0)
        return halt_ioctl_error(errno, "pagemap-scan", "cannot scan guest RAM for written pages", err);
    if (argument.walk_end <= *at || argument.walk_end > end)
        return err_set(err, ERR_INTERNAL, "pagemap-scan", "the scan of guest RAM made no progress");
    for (int i = 0; i < n_found; i++) {
        uint64_t offset = async->regions[i].start - config->ram_address;
        uint64_t length = async->regions[i].end - async->regions[i].start;
        bitmap_set_range(dirty, offset / ENGINE_PAGE_SIZE, length / ENGINE_PAGE_SIZE);
    }
    *at = argument.walk_end;
    return 0;
}

static int collect(struct dirty_source *source, struct bitmap *dirty, struct err *err)
{
    struct dirty_async *async = (struct dirty_async *)source;
    uint64_t at = source->config.ram_address;
    uint64_t ram_end = at + source->config.ram_size;
    while (at < ram_end) {
        uint64_t end = ram_end - at < async->step ? ram_end : at + async->step;
        if (scan(async, &at, end, dirty, err) < 0 || halt_check(source->config.halt, err) < 0)
            return -1;
    }
    return 0;
}

/* Nobody waits for the locks that a scan holds, and each call costs KVM its view of all that it covers. */
static void guest_stopped(struct dirty_source *source)
{
    ((struct dirty_async *)source)->step = STANDING_STEP;
}

static uint64_t stun_ns(const struct dirty_source *source)
{
    (void)source;
    return 0;
}

static void async_free(struct dirty_source *source)
{
    struct dirty_async *async = (struct dirty_async *)source;
    if (async->registered)
        uffd_unregister(source->config.uffd, all_of_ram(source));
    free(async);
}

static const struct dirty_source_ops ops = {
    .name = "async",
    .start = start,
    .collect = collect,
    .guest_stopped = guest_stopped,
    .stun_ns = stun_ns,
    .free = async_free,
};

struct dirty_source *dirty_async_new(const struct dirty_source_config *config, struct err *err)
{
    size_t n_regions = config->step / ENGINE_PAGE_SIZE / 2 + 1;
    if (n_regions < REGIONS_MIN)
        n_regions = REGIONS_MIN;
    struct dirty_async *async = calloc(1, sizeof *async + n_regions * sizeof async->regions[0]);
    if (!async) {
        (void)err_sys(err, ENOMEM, "no-memory", "no memory to track writes");
        return NULL;
    }
    async->base.ops = &ops;
    async->base.config = *config;
    async->step = config->step;
    async->n_regions = n_regions;
    return &async->base;
}
