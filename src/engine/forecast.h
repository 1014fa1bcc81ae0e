/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a move would be like: its rounds are played with the policy that the engine itself uses, on figures
 * that were measured before (engine/sample.c). Pure; thread: any.
 */
#ifndef ENGINE_FORECAST_H
#define ENGINE_FORECAST_H

#include <stdbool.h>
#include <stdint.h>

#define FORECAST_POINTS_MAX 8

/* So much memory is dirty when the guest has run for that long since all of it was clean. */
struct forecast_point {
    uint64_t after_ns, dirty_bytes;
};

struct forecast_facts {
    uint64_t ram_size;
    uint64_t used_bytes; /* that have memory: the first round */
    uint64_t zero_bytes; /* of them */
    unsigned n_points;
    struct forecast_point points[FORECAST_POINTS_MAX]; /* by rising time */
    uint64_t first_bytes_s; /* memory of the first round, zeros included, into memory that is new there */
    uint64_t again_bytes_s; /* contents, into memory that is there already */
    uint64_t sync_ns;       /* what a round takes that sends nothing */
    uint64_t scan_ns;       /* what it takes to find out what is dirty */
    uint64_t begin_ns;      /* before the first round */
    uint64_t switch_ns;     /* the guest's stop, but for the memory that is sent meanwhile */
    /* as in engine_source_config */
    uint64_t goal_ns, fixed_ns;
    uint32_t max_rounds;
};

struct forecast {
    uint64_t duration_ns; /* both sides ready .. the guest runs on the destination; or until it is given up */
    uint64_t downtime_ns; /* 0 if it is given up */
    uint32_t n_rounds;    /* with the last one */
    bool needs_sdps;
    bool converges;
    uint64_t dirty_bytes_s; /* over a tenth of a second */
    uint64_t
        working_set_bytes; /* what is dirty in the end if nobody cleans it, as far as the points show it */
};

void forecast_play(const struct forecast_facts *facts, struct forecast *ret_forecast);
/* Between the points on straight lines; behind the last as it levels off, or does not. */
uint64_t forecast_dirty_bytes(const struct forecast_facts *facts, uint64_t after_ns);

#endif
