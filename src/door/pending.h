/* SPDX-License-Identifier: Apache-2.0 */
/* Accepted connections whose preamble has not arrived yet. Single thread. */
#ifndef DOOR_PENDING_H
#define DOOR_PENDING_H

#include <stddef.h>
#include <stdint.h>

#include "door/strangers.h"
#include "wire/preamble.h"

#define PENDING_MAX 64
#define PENDING_PER_SOURCE_MAX 24 /* one move opens at most 17 connections at once */

struct pending {
    int fd; /* owned; -1: free */
    struct source_address from;
    uint64_t deadline_ns; /* also the order of arrival */
    size_t n_bytes;
    uint8_t bytes[WIRE_PREAMBLE_SIZE];
};

struct pending_table {
    struct pending all[PENDING_MAX];
};

void pending_init(struct pending_table *table);
/* The connection that must go before one more from this source has room: the oldest of that source if it has
 * its share, the oldest of all if the table is full, else NULL. */
struct pending *pending_victim(struct pending_table *table, const struct source_address *from);
struct pending *pending_oldest(struct pending_table *table);
/* There must be room. Takes over fd. */
struct pending *pending_add(struct pending_table *table, int fd, const struct source_address *from,
                            uint64_t now_ns);
/* Closes our descriptor and wipes what was read. */
void pending_drop(struct pending *pending);
/* UINT64_MAX if there is none. */
uint64_t pending_first_deadline(const struct pending_table *table);
void pending_clear(struct pending_table *table);

#endif
