/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a round goes on over new connections after old ones were lost. The destination says which pages of the
 * round are placed; the source sends the others. All is told on connection 0, before anything else.
 *
 * Why a page that was placed needs not be sent again, whatever the guest wrote since: it was read after it
 * was protected for this round, so a later write is in the next round. And why one that was placed in part
 * may be sent again: it is not in the map, and by now nobody works on the old connections.
 */
#ifndef ENGINE_RESUME_H
#define ENGINE_RESUME_H

#include <stdint.h>

struct bitmap;
struct err;
struct link;

struct resume {
    uint32_t round;    /* the destination's */
    uint64_t n_wasted; /* so far: bytes that arrived in records that did not arrive whole */
};

/* Destination: `placed` holds the pages of this round that are in place. */
int resume_tell(struct link *link, const struct resume *resume, const struct bitmap *placed, struct err *err);
/* Source: what the destination says; `ret_placed` is as large as RAM. ERR_CORRUPT for anything malformed. */
int resume_hear(struct link *link, struct resume *ret_resume, struct bitmap *ret_placed, struct err *err);

#endif
