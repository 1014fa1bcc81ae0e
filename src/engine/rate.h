/* SPDX-License-Identifier: Apache-2.0 */
/* The bandwidth cap: one token bucket for all channels of a source. */
#ifndef ENGINE_RATE_H
#define ENGINE_RATE_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct halt;

/* What a capped sender hands to the kernel at a time: small enough to keep the cap within a few percent over
 * any tenth of a second. */
#define RATE_PIECE_BYTES (64u << 10)

struct rate {
    pthread_mutex_t lock; /* protects next_ns */
    uint64_t bytes_s;     /* 0 = no cap */
    uint64_t next_ns;     /* when the bytes taken so far are paid for */
};

void rate_init(struct rate *rate, uint64_t bytes_s);
void rate_clear(struct rate *rate);
/* Pure: when `bytes` that are asked for at `now_ns` may go; moves *next_ns. Time that nobody used is worth at
 * most a few milliseconds of bytes later. */
uint64_t rate_reserve(uint64_t bytes_s, uint64_t bytes, uint64_t now_ns, uint64_t *next_ns);
/* Takes `bytes` and waits until they may go; -1 with the reason if `halt` is set meanwhile. */
int rate_wait(struct rate *rate, size_t bytes, const struct halt *halt, struct err *err);

#endif
