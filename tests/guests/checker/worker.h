/* SPDX-License-Identifier: Apache-2.0 */
/* What one vCPU does: prove and rewrite pages at a rate, and sweep over all its pages in the background. */
#pragma once
#include "pages.h"
#include "params.h"

struct worker {
    /* written by its own vCPU, read by the first one */
    volatile uint64_t n_done; /* pages rewritten, or proved if it is read-only */
    volatile uint64_t n_bad;
    volatile uint64_t n_sweeps;
    volatile uint64_t max_gap;    /* TSC ticks; the reader sets it to 0 */
    volatile bool has_difference; /* difference is valid; the reader clears it */
    struct pages_difference difference;
    /* private */
    uint64_t index, n_vcpus;
    uint64_t random;
    uint64_t n_own, sweep_next;
    bool read_only;
    uint64_t last_tsc;
    uint64_t write_gain, write_credit,
        write_price; /* credit grows by gain per TSC tick; a page costs the price */
    uint64_t sweep_gain, sweep_credit, sweep_price;
    uint64_t max_ticks; /* credit is given for at most so long a time */
} __attribute__((aligned(64)));

void worker_init(struct worker *worker, const struct params *params, uint64_t index, uint64_t tsc_hz);
void worker_fill(struct worker *worker, struct pages *pages);

/* One batch. Returns the TSC ticks since the last one (0 if time went back) and whether there was work to do.
 */
uint64_t worker_turn(struct worker *worker, struct pages *pages, bool *ret_busy);
