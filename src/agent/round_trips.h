/* SPDX-License-Identifier: Apache-2.0 */
/* Some dozens of small pings from one of this host's addresses to another host's: how many come back, and how
 * long they take. The kernel's own time of arrival counts, so that a busy process does not lengthen them.
 * Main-loop thread. CAP_NET_RAW is needed. */
#ifndef AGENT_ROUND_TRIPS_H
#define AGENT_ROUND_TRIPS_H

#include <stdint.h>
#include <sys/socket.h>

#include "base/err.h"

#define ROUND_TRIPS_MAX 200

struct round_trips;

struct round_trips_result {
    uint32_t n_sent, n_received;
    uint32_t min_us, average_us, max_us; /* 0 if none came back */
    uint32_t jitter_us;                  /* mean difference between one and the next that came back */
};

/* `done` once, from the main loop: 50 ms after each of `count` (1 to ROUND_TRIPS_MAX) pings and 1 s after the
 * last, or when all are back. NULL and *err if it cannot be tried. */
struct round_trips *round_trips_begin(const struct sockaddr_storage *from, const struct sockaddr_storage *to,
                                      uint32_t count,
                                      void (*done)(const struct round_trips_result *result, void *user),
                                      void *user, struct err *err);
/* After `done`, or before: then it is not called. NULL ok. */
void round_trips_free(struct round_trips *trips);

#endif
