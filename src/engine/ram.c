/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/ram.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/bitmap.h"
#include "base/err.h"
#include "base/fdio.h"
#include "engine/checksum.h"
#include "engine/engine.h"
#include "engine/halt.h"
#include "wire/data.h"

/* The next range with memory at or after *offset: 1, or 0 if there is none before `limit`, -1 on error. */
static int next_data(const struct ram *ram, uint64_t *offset, uint64_t limit, uint64_t *ret_end,
                     struct err *err)
{
    off_t begin = *offset < limit ? lseek(ram->fd, (off_t)*offset, SEEK_DATA) : (off_t)limit;
    if (begin < 0 && errno != ENXIO)
        return err_sys(err, errno, "seek-failed", "cannot find the memory of the guest");
    if (begin < 0 || (uint64_t)begin >= limit)
        return 0;
    off_t end = lseek(ram->fd, begin, SEEK_HOLE);
    if (end < 0) {
        /* Punched at this very moment: behind the end there is a hole, and no more. */
        if (errno != ENXIO)
            return err_sys(err, errno, "seek-failed", "cannot find the memory of the guest");
        end = (off_t)limit;
    }
    *offset = (uint64_t)begin;
    *ret_end = (uint64_t)end < limit ? (uint64_t)end : limit;
    return 1;
}

int ram_find_data(const struct ram *ram, struct bitmap *data, struct err *err)
{
    uint64_t offset = 0, end;
    int found;
    while ((found = next_data(ram, &offset, ram->size, &end, err)) > 0) {
        uint64_t first = offset / ENGINE_PAGE_SIZE;
        bitmap_set_range(data, first, (end + ENGINE_PAGE_SIZE - 1) / ENGINE_PAGE_SIZE - first);
        offset = end;
    }
    return found;
}

/* As in linux/mman.h. */
struct cachestat_range {
    uint64_t offset, length;
};
struct cachestat {
    uint64_t n_cached, n_dirty, n_written, n_evicted, n_recently_evicted;
};

/* Counting the pages of a range takes a fifth of the time that it takes to look for a hole in it. Not said of
 * swapped pages, nor by an older kernel: then they are looked for. */
static bool is_known_full(const struct ram *ram, uint64_t offset, uint64_t length)
{
    struct cachestat_range range = {offset, length};
    struct cachestat counts = {0};
    return syscall(RAM_SYS_CACHESTAT, ram->fd, &range, &counts, 0) == 0 &&
           counts.n_cached == length / ENGINE_PAGE_SIZE;
}

/* Of one run of pages. */
static int find_holes_between(const struct ram *ram, uint64_t begin, uint64_t end, struct bitmap *holes,
                              struct err *err)
{
    while (begin < end) {
        uint64_t data = begin, data_end = end;
        int found = next_data(ram, &data, end, &data_end, err);
        if (found < 0)
            return -1;
        uint64_t hole_end = found ? data : end;
        bitmap_set_range(holes, begin / ENGINE_PAGE_SIZE, (hole_end - begin) / ENGINE_PAGE_SIZE);
        begin = found ? data_end : end;
    }
    return 0;
}

int ram_find_holes(const struct ram *ram, const struct bitmap *once, struct bitmap *holes, struct err *err)
{
    uint64_t first, count;
    for (uint64_t from = 0; (count = bitmap_next_run(once, from, once->n_bits, &first));
         from = first + count) {
        uint64_t begin = first * ENGINE_PAGE_SIZE, length = count * ENGINE_PAGE_SIZE;
        if (!is_known_full(ram, begin, length) &&
            find_holes_between(ram, begin, begin + length, holes, err) < 0)
            return -1;
    }
    return 0;
}

bool ram_is_zero_page(const void *page)
{
    /* Most pages differ in their first words; the rest is compared with itself, one word on. */
    const uint64_t *words = page;
    if (words[0] | words[1])
        return false;
    return memcmp(page, (const uint8_t *)page + 16, ENGINE_PAGE_SIZE - 16) == 0;
}

uint64_t ram_n_parts(const struct ram *ram)
{
    return (ram->size + WIRE_PART_BYTES - 1) / WIRE_PART_BYTES;
}

static int hash_range(const struct ram *ram, const struct ram_hash_job *job, uint64_t offset, uint64_t end,
                      uint64_t *ret_hash, struct err *err)
{
    (void)XXH3_64bits_reset(job->hash);
    while (offset < end) {
        size_t piece = end - offset < RAM_HASH_BUFFER_SIZE ? (size_t)(end - offset) : RAM_HASH_BUFFER_SIZE;
        if (fdio_pread(ram->fd, job->buffer, piece, offset, err) < 0)
            return -1;
        (void)XXH3_64bits_update(job->hash, job->buffer, piece);
        offset += piece;
    }
    *ret_hash = XXH3_64bits_digest(job->hash);
    return 0;
}

/* What a part of `length` zeros hashes to. */
static uint64_t hash_of_zeros(const struct ram_hash_job *job, uint64_t length)
{
    (void)XXH3_64bits_reset(job->hash);
    memset(job->buffer, 0, RAM_HASH_BUFFER_SIZE);
    while (length) {
        size_t piece = length < RAM_HASH_BUFFER_SIZE ? (size_t)length : RAM_HASH_BUFFER_SIZE;
        (void)XXH3_64bits_update(job->hash, job->buffer, piece);
        length -= piece;
    }
    return XXH3_64bits_digest(job->hash);
}

int ram_hash_parts(const struct ram *ram, const struct ram_hash_job *job, struct err *err)
{
    uint64_t zeros = hash_of_zeros(job, WIRE_PART_BYTES);
    for (uint64_t part = job->first; part < ram_n_parts(ram); part += job->stride) {
        uint64_t begin = part * WIRE_PART_BYTES;
        uint64_t length = ram->size - begin < WIRE_PART_BYTES ? ram->size - begin : WIRE_PART_BYTES;
        uint64_t data = begin, end;
        if (halt_check(job->halt, err) < 0)
            return -1;
        int found = next_data(ram, &data, begin + length, &end, err);
        if (found < 0)
            return -1;
        if (!found && length == WIRE_PART_BYTES)
            job->ret_hashes[part] = zeros;
        else if (hash_range(ram, job, begin, begin + length, &job->ret_hashes[part], err) < 0)
            return -1;
    }
    return 0;
}

int ram_punch(const struct ram *ram, uint64_t offset, uint64_t length, struct err *err)
{
    if (fallocate(ram->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)length) < 0)
        return err_sys(err, errno, "punch-failed", "cannot free %llu bytes of guest RAM at %llu",
                       (unsigned long long)length, (unsigned long long)offset);
    return 0;
}
