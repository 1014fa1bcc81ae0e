/* SPDX-License-Identifier: Apache-2.0 */
#include "raw.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <xxhash.h>

#include "wire/data.h"
#include "wire/record.h"

/* A peer that hung up is what some tests are about: a send that fails is no failure here. */
static void put(int fd, const void *bytes, size_t size)
{
    (void)send(fd, bytes, size, MSG_NOSIGNAL);
}

void raw_send(struct raw *raw, uint32_t type, const void *payload, size_t size)
{
    uint8_t header[WIRE_RECORD_HEADER_SIZE];
    struct wire_record record = {.type = type, .length = size, .seq = raw->seq++, .sum = raw->sum};
    wire_record_encode(&record, header);
    put(raw->fd, header, sizeof header);
    put(raw->fd, payload, size);
}

void raw_send_pages(struct raw *raw, struct raw_pages pages)
{
    size_t size = WIRE_PAGES_SIZE + WIRE_EXTENT_SIZE + pages.length;
    uint8_t *payload = malloc(size);
    uint8_t *data = payload + WIRE_PAGES_SIZE + WIRE_EXTENT_SIZE;
    memset(data, pages.byte, pages.length);
    struct wire_pages head = {.round = pages.round,
                              .n_extents = 1,
                              .n_bytes = pages.length,
                              .xxh3 = XXH3_64bits(data, pages.length) + pages.checksum_error};
    struct wire_extent extent = {pages.offset, pages.length};
    wire_pages_encode(&head, payload);
    wire_extents_encode(&extent, 1, payload + WIRE_PAGES_SIZE);
    raw_send(raw, WIRE_PAGES, payload, size);
    free(payload);
}

void raw_send_zero(struct raw *raw, uint32_t round, const uint64_t (*extents)[2], uint32_t n_extents)
{
    uint8_t payload[WIRE_LIST_SIZE + 8 * WIRE_EXTENT_SIZE];
    wire_list_encode(&(struct wire_list){.round = round, .n_extents = n_extents}, payload);
    for (uint32_t i = 0; i < n_extents; i++) {
        struct wire_extent extent = {extents[i][0], extents[i][1]};
        wire_extents_encode(&extent, 1, payload + WIRE_LIST_SIZE + i * WIRE_EXTENT_SIZE);
    }
    raw_send(raw, WIRE_ZERO, payload, WIRE_LIST_SIZE + n_extents * WIRE_EXTENT_SIZE);
}

void raw_send_sync(struct raw *raw, uint32_t round, uint64_t n_records, uint64_t n_bytes)
{
    uint8_t payload[WIRE_SYNC_SIZE];
    wire_sync_encode(&(struct wire_sync){.round = round, .n_records = n_records, .n_bytes = n_bytes},
                     payload);
    raw_send(raw, WIRE_SYNC, payload, sizeof payload);
}
