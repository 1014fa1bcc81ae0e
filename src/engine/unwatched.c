/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/unwatched.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bitmap.h"
#include "base/err.h"
#include "base/fdio.h"
#include "engine/engine.h"

int unwatched_init(struct unwatched *unwatched, struct ram ram, uint64_t max_pages, struct err *err)
{
    *unwatched = (struct unwatched){.ram = ram, .max_pages = max_pages};
    unwatched->before = malloc(max_pages * ENGINE_PAGE_SIZE);
    unwatched->after = malloc(max_pages * ENGINE_PAGE_SIZE);
    if (unwatched->before && unwatched->after)
        return 0;
    unwatched_clear(unwatched);
    return err_sys(err, ENOMEM, "no-memory", "no memory to compare pages");
}

void unwatched_clear(struct unwatched *unwatched)
{
    free(unwatched->before);
    free(unwatched->after);
    *unwatched = (struct unwatched){0};
}

static int read_piece(const struct unwatched *unwatched, uint8_t *ret_content, struct err *err)
{
    return fdio_pread(unwatched->ram.fd, ret_content, unwatched->count * ENGINE_PAGE_SIZE,
                      unwatched->first * ENGINE_PAGE_SIZE, err);
}

static bool are_all_dirty(const struct bitmap *dirty, uint64_t first, uint64_t count)
{
    uint64_t begin, length = bitmap_next_run(dirty, first, first + count, &begin);
    return length == count;
}

int unwatched_begin(struct unwatched *unwatched, uint64_t first, uint64_t count, const struct bitmap *dirty,
                    struct err *err)
{
    if (count > unwatched->max_pages)
        return err_set(err, ERR_INTERNAL, "unwatched-pages", "a piece of %llu pages is too large to compare",
                       (unsigned long long)count);
    unwatched->first = first;
    unwatched->count = count;
    unwatched->is_read = !are_all_dirty(dirty, first, count);
    return unwatched->is_read ? read_piece(unwatched, unwatched->before, err) : 0;
}

int unwatched_end(struct unwatched *unwatched, struct bitmap *dirty, struct err *err)
{
    if (!unwatched->is_read || are_all_dirty(dirty, unwatched->first, unwatched->count))
        return 0;
    if (read_piece(unwatched, unwatched->after, err) < 0)
        return -1;
    for (uint64_t i = 0; i < unwatched->count; i++) {
        uint64_t at = i * ENGINE_PAGE_SIZE;
        if (!bitmap_has(dirty, unwatched->first + i) &&
            memcmp(unwatched->before + at, unwatched->after + at, ENGINE_PAGE_SIZE) != 0)
            bitmap_set(dirty, unwatched->first + i);
    }
    return 0;
}
