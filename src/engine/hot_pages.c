/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/hot_pages.h"

#include <string.h>

#include "engine/uffd.h"

/* Written runs of one extent; what does not fit is not hot. */
#define RUNS_MAX (BATCH_PAGES / 2 + 1)

static bool find_in_extent(const struct hot_pages *hot, const struct wire_extent *extent, bool *ret_is_hot)
{
    struct page_region runs[RUNS_MAX];
    uint64_t begin = hot->ram_address + extent->offset;
    struct pm_scan_arg argument = {.size = sizeof argument,
                                   .start = begin,
                                   .end = begin + extent->length,
                                   .vec = (uintptr_t)runs,
                                   .vec_len = RUNS_MAX,
                                   .category_mask = PAGE_IS_WRITTEN,
                                   .return_mask = PAGE_IS_WRITTEN};
    int n_runs = ioctl(hot->pagemap_fd, PAGEMAP_SCAN, &argument);
    for (int i = 0; i < n_runs; i++)
        for (uint64_t at = runs[i].start; at < runs[i].end; at += ENGINE_PAGE_SIZE)
            ret_is_hot[(at - begin) / ENGINE_PAGE_SIZE] = true;
    return n_runs > 0;
}

bool hot_pages_find(const struct hot_pages *hot, const struct run_list *list, bool ret_is_hot[BATCH_PAGES])
{
    bool is_any = false;
    size_t index = 0;
    if (hot->pagemap_fd < 0)
        return false;
    memset(ret_is_hot, 0, BATCH_PAGES * sizeof ret_is_hot[0]);
    for (uint32_t i = 0; i < list->n; i++) {
        is_any |= find_in_extent(hot, &list->extents[i], ret_is_hot + index);
        index += list->extents[i].length / ENGINE_PAGE_SIZE;
    }
    return is_any;
}
