/* SPDX-License-Identifier: Apache-2.0 */
/* A peer that says what it is told to, right or wrong, on one data channel. */
#ifndef TESTS_ENGINE_RAW_H
#define TESTS_ENGINE_RAW_H

#include <stddef.h>
#include <stdint.h>

struct raw {
    int fd; /* not owned */
    uint64_t seq;
    uint32_t sum; /* that its headers tell; 0: none */
};

/* One record with a right header. */
void raw_send(struct raw *raw, uint32_t type, const void *payload, size_t size);
/* A PAGES record of `length` bytes at `offset`, filled with `byte`, checksum off by `checksum_error`. */
struct raw_pages {
    uint32_t round;
    uint64_t offset, length;
    uint8_t byte;
    uint64_t checksum_error;
};
void raw_send_pages(struct raw *raw, struct raw_pages pages);
/* A ZERO record with these offset, length pairs. */
void raw_send_zero(struct raw *raw, uint32_t round, const uint64_t (*extents)[2], uint32_t n_extents);
void raw_send_sync(struct raw *raw, uint32_t round, uint64_t n_records, uint64_t n_bytes);

#endif
