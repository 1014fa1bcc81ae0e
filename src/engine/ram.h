/* SPDX-License-Identifier: Apache-2.0 */
/* Guest RAM as a file: where it has memory at all, what is zero, what it hashes to. Nothing here maps it, so
 * nothing populates a hole. Thread: any. */
#ifndef ENGINE_RAM_H
#define ENGINE_RAM_H

#include <stdbool.h>
#include <stdint.h>
#include <xxhash.h>

struct bitmap;
struct err;
struct halt;

struct ram {
    int fd; /* memfd; not owned */
    uint64_t size;
};

/* Sets in `data` each page that has memory; the others are holes and read as zeros. */
int ram_find_data(const struct ram *ram, struct bitmap *data, struct err *err);
/* Sets in `holes` each page of `once` (which had memory at some time) that has none now. Nobody gives memory
 * up meanwhile. */
int ram_find_holes(const struct ram *ram, const struct bitmap *once, struct bitmap *holes, struct err *err);
/* The system call by which it does so where it exists (Linux 6.5+; newer than the C library's headers). */
#define RAM_SYS_CACHESTAT 451
bool ram_is_zero_page(const void *page);
uint64_t ram_n_parts(const struct ram *ram);
/* The hash of each part (WIRE_PART_BYTES, the last may be shorter) with index first, first + stride, ... into
 * ret_hashes[index]. A hole hashes like zeros. `buffer` has RAM_HASH_BUFFER_SIZE bytes. */
struct ram_hash_job {
    uint64_t first, stride;
    uint64_t *ret_hashes; /* ram_n_parts() of them */
    uint8_t *buffer;
    XXH3_state_t *hash; /* scratch */
    const struct halt *halt;
};
#define RAM_HASH_BUFFER_SIZE (256u << 10)
int ram_hash_parts(const struct ram *ram, const struct ram_hash_job *job, struct err *err);
/* Removes the memory of a range, which then reads as zeros. */
int ram_punch(const struct ram *ram, uint64_t offset, uint64_t length, struct err *err);

#endif
