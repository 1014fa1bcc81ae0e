/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine's own limit: memory of one memfd through TCP into fresh memory of another, with nothing around
 * it: no checks, no records, no tracking of writes. One thread a connection and a side; each moves its
 * contiguous share in pieces. What Godwit reaches is said as a share of the best variant of this.
 */
#ifndef BENCH_RAW_LOOP_H
#define BENCH_RAW_LOOP_H

#include <stddef.h>
#include <stdint.h>

#define RAW_LOOP_CHANNELS_MAX 16

/* How the sender comes at the memory. */
enum raw_read { RAW_READ_PREAD, RAW_READ_MAPPING, RAW_READ_SENDFILE, RAW_READ_N };
/* How the receiver fills it: into a mapping that is populated just before, into one that is not, or by way of
 * a buffer and pwrite. */
enum raw_place { RAW_PLACE_POPULATED, RAW_PLACE_FAULTS, RAW_PLACE_PWRITE, RAW_PLACE_N };

extern const char *const raw_read_names[RAW_READ_N];
extern const char *const raw_place_names[RAW_PLACE_N];

struct raw_loop {
    int ram_fd; /* source: full; destination: empty; of `size` bytes */
    uint64_t size;
    size_t piece; /* bytes that are read, sent, populated or received at once */
    unsigned n_channels;
    int channels[RAW_LOOP_CHANNELS_MAX]; /* connected stream sockets, blocking */
    enum raw_read read;                  /* source */
    enum raw_place place;                /* destination */
};

/* Sends all; returns when the other side has placed all of it: 0, or -1 and a message on stderr. */
int raw_loop_send(const struct raw_loop *loop);
/* Fills all and says so to the other side. */
int raw_loop_receive(const struct raw_loop *loop);

#endif
