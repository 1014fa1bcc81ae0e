/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When may who waits to write a page go on? A token bucket with a queue, without threads, locks or a clock of
 * its own: the fault server (engine/fault_server.c) asks and tells the time.
 *
 * Each page takes its share of the allowed rate, in virtual time; whoever is ahead of it waits. Shares are
 * given out in slices, those of one slice at its beginning; a slice has THROTTLE_SLICE_PAGES for each vCPU.
 * So most writers go on at once and few wait, and no timer is needed for each page. What was not used is kept
 * for one slice.
 *
 * Nobody waits longer than THROTTLE_WAIT_NS (a vCPU may hold a lock that all of QEMU needs), nor together
 * longer than the limit allows; then the rate is not kept.
 *
 * Thread: one at a time.
 */
#ifndef ENGINE_THROTTLE_H
#define ENGINE_THROTTLE_H

#include <stdbool.h>
#include <stdint.h>

#define THROTTLE_SLICE_PAGES 3u
#define THROTTLE_SLICE_MIN_NS 100000ull
#define THROTTLE_SLICE_MAX_NS 2000000ull
/* The longest wait while QEMU may want to stop the guest. */
#define THROTTLE_EASY_NS 500000ull
/* Timers are late now and then: less than the 5 ms that are promised. */
#define THROTTLE_WAIT_NS 4000000ull
#define THROTTLE_WINDOW_NS 100000000ull
#define THROTTLE_WAITERS_MAX 512u

struct throttle_waiter {
    uint64_t page;
    uint64_t since_ns, deadline_ns;
    int vcpu; /* or -1 */
};

struct throttle {
    unsigned n_writers;
    uint64_t page_ns; /* of virtual time that a page takes; 0: nobody waits */
    uint64_t slice_ns;
    uint64_t next_ns;       /* virtual time: where the next page's share begins */
    uint64_t wait_max_ns;   /* of one wait */
    uint64_t window_max_ns; /* of all waits in one window together */
    uint64_t window_begin_ns, window_used_ns;
    uint32_t first, n_waiters; /* a ring, by deadline */
    struct throttle_waiter waiters[THROTTLE_WAITERS_MAX];
};

/* `limit_percent` of the time of `n_writers` may be spent waiting, in each window; 0 or 100: no limit. */
void throttle_init(struct throttle *throttle, unsigned limit_percent, unsigned n_writers);
/* 0: nobody waits from now on; those who do keep their place. */
void throttle_set_rate(struct throttle *throttle, uint64_t bytes_s);
/* One more page is written: until when its writer has to wait; `now_ns` if not at all. */
uint64_t throttle_reserve(struct throttle *throttle, uint64_t now_ns);
/* The same for a writer that nobody may hold up: others wait for it. */
void throttle_charge(struct throttle *throttle, uint64_t now_ns);
/* False if there is no room. Deadlines as throttle_reserve gave them out, in that order. */
bool throttle_push(struct throttle *throttle, const struct throttle_waiter *waiter);
/* The waiter that is next, or NULL. */
const struct throttle_waiter *throttle_first(const struct throttle *throttle);
/* Takes out the first waiter for `page`; false if there is none. */
bool throttle_take(struct throttle *throttle, uint64_t page, struct throttle_waiter *ret_waiter);

#endif
