/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "engine/forecast.h"

#define MB 1000000ull
#define GB 1000000000ull

static const uint64_t after_ms[] = {10, 25, 50, 100, 200, 400, 800};
#define N_POINTS (sizeof after_ms / sizeof *after_ms)

/* 1 GB in use, of which a quarter is zero, 0.8 GB/s for new memory and 1 GB/s for the rest. */
static struct forecast_facts scene(void)
{
    return (struct forecast_facts){.ram_size = 4 * GB,
                                   .used_bytes = GB,
                                   .zero_bytes = GB / 4,
                                   .first_bytes_s = 800 * MB,
                                   .again_bytes_s = GB,
                                   .sync_ns = NS_PER_MS / 10,
                                   .scan_ns = 2 * NS_PER_MS,
                                   .begin_ns = 20 * NS_PER_MS,
                                   .switch_ns = 15 * NS_PER_MS,
                                   .goal_ns = 100 * NS_PER_MS,
                                   .fixed_ns = 15 * NS_PER_MS};
}

/* The guest rewrites pages at random in `set` bytes, at `bytes_s`: W (1 - exp(-t/T)), made by steps of 0.1
 * ms. */
static void add_guest(struct forecast_facts *facts, double set, double bytes_s)
{
    double dirty = 0;
    uint64_t at = 0;
    for (unsigned i = 0; i < N_POINTS; i++) {
        for (; at < after_ms[i] * 10; at++)
            dirty += (set - dirty) * (bytes_s / 10000 / set);
        facts->points[i] = (struct forecast_point){after_ms[i] * NS_PER_MS, (uint64_t)dirty};
    }
    facts->n_points = N_POINTS;
}

static void assert_near(uint64_t value, uint64_t wanted, unsigned percent)
{
    uint64_t slack = wanted * percent / 100;
    assert_in_range(value, wanted - slack, wanted + slack);
}

static void an_idle_guest_takes_one_round_and_a_stop(void **state)
{
    (void)state;
    struct forecast forecast;
    struct forecast_facts facts = scene();
    forecast_play(&facts, &forecast);
    assert_true(forecast.converges);
    assert_false(forecast.needs_sdps);
    assert_int_equal(forecast.n_rounds, 2);
    assert_int_equal(forecast.downtime_ns, 15 * NS_PER_MS + NS_PER_MS / 10);
    assert_int_equal(forecast.duration_ns,
                     (20 + 1250 + 2) * NS_PER_MS + NS_PER_MS / 10 + forecast.downtime_ns);
}

static void dirty_memory_follows_the_points_and_levels_off(void **state)
{
    (void)state;
    struct forecast_facts facts = scene();
    add_guest(&facts, 200e6, 1e9); /* all of it in a fifth of a second, about */
    assert_int_equal(forecast_dirty_bytes(&facts, 0), 0);
    assert_int_equal(forecast_dirty_bytes(&facts, 100 * NS_PER_MS), facts.points[3].dirty_bytes);
    uint64_t between = forecast_dirty_bytes(&facts, 150 * NS_PER_MS);
    assert_true(between > facts.points[3].dirty_bytes && between < facts.points[4].dirty_bytes);
    assert_near(forecast_dirty_bytes(&facts, 60 * NS_PER_S), 200 * MB, 5);
}

static void a_guest_without_a_working_set_dirties_in_proportion(void **state)
{
    (void)state;
    struct forecast_facts facts = scene();
    for (unsigned i = 0; i < N_POINTS; i++)
        facts.points[facts.n_points++] =
            (struct forecast_point){after_ms[i] * NS_PER_MS, after_ms[i] * MB / 10};
    assert_int_equal(forecast_dirty_bytes(&facts, 8 * NS_PER_S), 800 * MB);
    assert_int_equal(forecast_dirty_bytes(&facts, 8000 * NS_PER_S), facts.ram_size);
}

static void rounds_get_shorter_until_the_rest_fits(void **state)
{
    (void)state;
    struct forecast forecast;
    struct forecast_facts facts = scene();
    add_guest(&facts, 256e6, 100e6);
    forecast_play(&facts, &forecast);
    assert_true(forecast.converges);
    assert_in_range(forecast.n_rounds, 3, 6);
    assert_in_range(forecast.downtime_ns, 15 * NS_PER_MS, 100 * NS_PER_MS);
    assert_true(forecast.duration_ns > 1250 * NS_PER_MS && forecast.duration_ns < 2 * NS_PER_S);
    assert_near(forecast.dirty_bytes_s, 98 * MB, 3);
    assert_near(forecast.working_set_bytes, 256 * MB, 15);
}

/* Its rate is several times what can be sent: only when it is held up do the rounds get shorter. */
static void a_guest_that_is_too_fast_is_held_up(void **state)
{
    (void)state;
    struct forecast forecast;
    struct forecast_facts facts = scene();
    facts.first_bytes_s = facts.again_bytes_s = 117 * MB;
    add_guest(&facts, 256e6, 2e9);
    forecast_play(&facts, &forecast);
    assert_true(forecast.needs_sdps && forecast.converges);
    assert_in_range(forecast.downtime_ns, 15 * NS_PER_MS, 110 * NS_PER_MS);
    assert_true(forecast.duration_ns > GB / 117 * 1000);
}

/* Not even a fast guest is waited for for ever: with one round there is nothing to shorten. */
static void what_would_be_given_up_has_no_downtime(void **state)
{
    (void)state;
    struct forecast forecast;
    struct forecast_facts facts = scene();
    facts.first_bytes_s = facts.again_bytes_s = 117 * MB;
    facts.max_rounds = 1;
    add_guest(&facts, 256e6, 2e9);
    forecast_play(&facts, &forecast);
    assert_false(forecast.converges);
    assert_int_equal(forecast.downtime_ns, 0);
    assert_int_equal(forecast.n_rounds, 1);
}

static void nothing_measured_divides_by_nothing(void **state)
{
    (void)state;
    struct forecast forecast;
    struct forecast_facts facts = {.ram_size = GB, .goal_ns = NS_PER_MS};
    forecast_play(&facts, &forecast);
    assert_true(forecast.converges);
    facts.used_bytes = GB; /* and no rate at all */
    facts.points[0] = (struct forecast_point){NS_PER_S, GB};
    facts.n_points = 1;
    forecast_play(&facts, &forecast);
    assert_true(forecast.duration_ns >= INT64_MAX / 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_idle_guest_takes_one_round_and_a_stop),
        cmocka_unit_test(dirty_memory_follows_the_points_and_levels_off),
        cmocka_unit_test(a_guest_without_a_working_set_dirties_in_proportion),
        cmocka_unit_test(rounds_get_shorter_until_the_rest_fits),
        cmocka_unit_test(a_guest_that_is_too_fast_is_held_up),
        cmocka_unit_test(what_would_be_given_up_has_no_downtime),
        cmocka_unit_test(nothing_measured_divides_by_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
