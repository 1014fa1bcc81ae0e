/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/batch.h"

#include <errno.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/fdio.h"

int batch_init(struct batch *batch, struct err *err)
{
    batch->pages = aligned_alloc(ENGINE_PAGE_SIZE, WIRE_BATCH_BYTES_MAX);
    batch->hash = XXH3_createState();
    if (!batch->pages || !batch->hash)
        return err_sys(err, ENOMEM, "no-memory", "no memory for a batch");
    return 0;
}

void batch_clear(struct batch *batch)
{
    free(batch->pages);
    (void)XXH3_freeState(batch->hash);
}

bool batch_fill(struct batch *batch, const struct bitmap *pages, uint64_t *from)
{
    uint64_t room = BATCH_PAGES;
    batch->wanted.n = 0;
    while (room) {
        uint64_t first, count = bitmap_next_run(pages, *from, pages->n_bits, &first);
        if (!count)
            break;
        if (count > room)
            count = room;
        batch->wanted.extents[batch->wanted.n++] =
            (struct wire_extent){first * ENGINE_PAGE_SIZE, count * ENGINE_PAGE_SIZE};
        room -= count;
        *from = first + count;
    }
    return batch->wanted.n > 0;
}

/* Adds one page; pages come in rising order. */
static void add_page(struct run_list *list, uint64_t offset)
{
    struct wire_extent *last = list->n ? &list->extents[list->n - 1] : NULL;
    if (last && last->offset + last->length == offset)
        last->length += ENGINE_PAGE_SIZE;
    else
        list->extents[list->n++] = (struct wire_extent){offset, ENGINE_PAGE_SIZE};
}

int64_t batch_read(struct batch *batch, const struct ram *ram, struct err *err)
{
    uint8_t *at = batch->pages;
    uint64_t n_bytes = 0;
    size_t n_parts = 3;
    batch->data.n = batch->zeros.n = 0;
    for (uint32_t i = 0; i < batch->wanted.n; i++) {
        struct wire_extent extent = batch->wanted.extents[i];
        if (fdio_pread(ram->fd, at, extent.length, extent.offset, err) < 0)
            return -1;
        for (uint64_t done = 0; done < extent.length; done += ENGINE_PAGE_SIZE, at += ENGINE_PAGE_SIZE) {
            uint64_t offset = extent.offset + done;
            if (ram_is_zero_page(at)) {
                add_page(&batch->zeros, offset);
                continue;
            }
            add_page(&batch->data, offset);
            n_bytes += ENGINE_PAGE_SIZE;
            struct iovec *last = &batch->parts[n_parts - 1];
            if (n_parts > 3 && (uint8_t *)last->iov_base + last->iov_len == at)
                last->iov_len += ENGINE_PAGE_SIZE;
            else
                batch->parts[n_parts++] = (struct iovec){at, ENGINE_PAGE_SIZE};
        }
    }
    batch->n_parts = n_parts;
    return (int64_t)n_bytes;
}

uint64_t run_list_pages(const struct run_list *list)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < list->n; i++)
        bytes += list->extents[i].length;
    return bytes / ENGINE_PAGE_SIZE;
}
