/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bandwidth cap: one token bucket for all channels of a source, and for its disks. Whatever the threads'
 * wake-ups do, in any stretch of time no more is taken than the cap's share of it, plus RATE_BURST_NS of it,
 * plus one piece: that is 5 % over any 0.2 s from 1 MB/s on.
 */
#ifndef ENGINE_RATE_H
#define ENGINE_RATE_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

struct cancel;
struct err;

/* Time that nobody used is worth this much later: what a thread that wakes late makes up for. */
#define RATE_BURST_NS 5000000ull
/* What a capped sender hands to the kernel at a time is worth this much, within these bounds. */
#define RATE_PIECE_NS 2000000ull
#define RATE_PIECE_MIN_BYTES (4u << 10)
#define RATE_PIECE_MAX_BYTES (256u << 10)

struct rate {
    uint64_t bytes_s;     /* 0 = no cap */
    pthread_mutex_t turn; /* held while waiting: one thread sleeps for the next piece, the others behind it */
    uint64_t next_ns;     /* protected by it: when the bytes taken so far are paid for */
};

void rate_init(struct rate *rate, uint64_t bytes_s);
void rate_clear(struct rate *rate);
/* Pure: takes `bytes` at `now_ns` and moves *next_ns, returns 0; or how many ns too early it is, and takes
 * none.
 */
uint64_t rate_take(uint64_t bytes_s, uint64_t bytes, uint64_t now_ns, uint64_t *next_ns);
/* Pure: the bytes to hand to the kernel at a time. bytes_s is not 0. */
size_t rate_piece(uint64_t bytes_s);
/* Waits until `bytes` may go and takes them; -1 with the reason of `stop` if it is triggered meanwhile. */
int rate_wait(struct rate *rate, size_t bytes, const struct cancel *stop, struct err *err);

#endif
