/* SPDX-License-Identifier: Apache-2.0 */
/* Which pages the guest has written since they were protected: a look at the pagemap that changes nothing,
 * and so only a hint. Needs a kernel with PAGEMAP_SCAN. Thread: any. */
#ifndef ENGINE_HOT_PAGES_H
#define ENGINE_HOT_PAGES_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/batch.h"

struct hot_pages {
    int pagemap_fd; /* /proc/QEMU/pagemap, not owned; -1: nothing is ever hot */
    uint64_t ram_address;
};

/* Sets ret_is_hot[i] for the i-th page of `list`, which has at most BATCH_PAGES. False if none is, or if the
 * kernel does not say. */
bool hot_pages_find(const struct hot_pages *hot, const struct run_list *list, bool ret_is_hot[BATCH_PAGES]);

#endif
