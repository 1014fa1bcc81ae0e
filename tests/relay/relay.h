/* SPDX-License-Identifier: Apache-2.0 */
/* Somebody on the way: TCP connections that are made to it go on to another port of this machine, and a
 * function sees, and may change, all that passes. One thread. */
#ifndef TESTS_RELAY_RELAY_H
#define TESTS_RELAY_RELAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct relay;

struct relay_piece {
    unsigned connection; /* in the order in which they were made, from 0 */
    bool from_source;    /* from who connected */
    uint64_t offset;     /* of the first byte, in its direction of this connection */
    uint8_t *bytes;      /* may be changed */
    size_t size;         /* bytes that go on; may be made smaller */
};

/* False: both directions of the connection end now. From the relay's thread. */
typedef bool (*relay_watcher)(struct relay_piece *piece, void *user);

/* Aborts when the machine does not play along: it serves tests only. */
struct relay *relay_start(uint16_t target_port, relay_watcher watcher, void *user);
uint16_t relay_port(const struct relay *relay);
void relay_end(struct relay *relay);

/* True if the needle begins within the piece or the end of the one before; `tail`, of `needle_size - 1`
 * bytes, holds what is needed for that, zeroed at first, one for each direction of each connection. */
bool relay_finds(const struct relay_piece *piece, const uint8_t *needle, size_t needle_size, uint8_t *tail);

#endif
