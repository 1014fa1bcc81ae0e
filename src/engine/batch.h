/* SPDX-License-Identifier: Apache-2.0 */
/* One unit of the sender's work: some dirty pages, read and sorted into data and zeros. Nothing is allocated
 * after batch_init. Thread: whoever holds the batch; it passes from story to worker and back by queues. */
#ifndef ENGINE_BATCH_H
#define ENGINE_BATCH_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>
#include <xxhash.h>

#include "base/bitmap.h"
#include "engine/engine.h"
#include "engine/ram.h"
#include "wire/data.h"

struct err;

/* Half of what the wire allows: read, looked at, hashed and sent, it stays in a core's cache. */
#define BATCH_PAGES (WIRE_BATCH_BYTES_MAX / 2 / ENGINE_PAGE_SIZE)

struct run_list {
    uint32_t n;
    struct wire_extent extents[BATCH_PAGES];
};

/* Either pages of RAM, or, while verifying, every n-th part to hash. */
struct batch {
    bool is_hash;
    uint64_t first_part; /* is_hash */
    struct run_list wanted;
    /* scratch of the worker */
    struct run_list data, zeros;
    uint8_t data_bytes[BATCH_PAGES * WIRE_EXTENT_SIZE];
    uint8_t zero_bytes[BATCH_PAGES * WIRE_EXTENT_SIZE];
    size_t n_parts;
    struct iovec parts[3 + BATCH_PAGES]; /* header, head, extents, pages */
    uint8_t *pages;                      /* WIRE_BATCH_BYTES_MAX, page aligned */
    XXH3_state_t *hash;
};

/* `batch` is zeroed. On failure batch_clear is still due. */
int batch_init(struct batch *batch, struct err *err);
void batch_clear(struct batch *batch);
/* Wants pages of `pages` from *from on, and moves *from behind them. False: there are none. */
bool batch_fill(struct batch *batch, const struct bitmap *pages, uint64_t *from);
/* Reads the wanted pages and sorts them into data and zeros; parts[3...] are the runs of data in the buffer.
 * Returns the bytes of data, or -1. */
int64_t batch_read(struct batch *batch, const struct ram *ram, struct err *err);
uint64_t run_list_pages(const struct run_list *list);

#endif
