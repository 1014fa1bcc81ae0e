/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/err.h"
#include "engine/packer.h"

#define MB 1000000ull
#define SECOND_MS 1000u

/* Whether deltas begin after a round 0 of one worker that sent `bytes` in a second, in which a link (or the
 * cap) was at work for so long. */
static bool begins(enum engine_delta delta, uint64_t bytes, uint64_t link_ms)
{
    struct packing packing = {.delta = delta, .n_workers = 1, .n_pages = 4096};
    struct err err = {0};
    assert_int_equal(packing_init(&packing, &err), 0);
    packing_begin_round(&packing, 0);
    packing.round = (struct packing_round){.begin_ns = clock_now_ns() - SECOND_MS * NS_PER_MS,
                                           .raw_bytes = bytes,
                                           .busy_ns = 100 * NS_PER_MS,
                                           .wait_ns = (SECOND_MS - 100) * NS_PER_MS,
                                           .link_ns = link_ms * NS_PER_MS};
    packing_begin_round(&packing, 1);
    bool is_cached = packing.is_cached;
    packing_clear(&packing);
    return is_cached;
}

static void deltas_begin_where_the_link_is_the_bottleneck(void **state)
{
    (void)state;
    assert_true(begins(ENGINE_DELTA_AUTO, 118 * MB, 990));
    assert_true(begins(ENGINE_DELTA_AUTO, 118 * MB, 1050)); /* the kernel counts in ticks */
}

/* A worker that waits for a core, or for a host that has none, waits too, and would lack the cache's CPU. */
static void deltas_stay_out_of_the_way_where_the_cpu_is(void **state)
{
    (void)state;
    assert_false(begins(ENGINE_DELTA_AUTO, 118 * MB, 600));
    assert_false(begins(ENGINE_DELTA_AUTO, 450 * MB, 0));
    assert_true(begins(ENGINE_DELTA_ON, 450 * MB, 0));
}

static void a_link_that_is_faster_than_memory_or_said_little_needs_none(void **state)
{
    (void)state;
    assert_false(begins(ENGINE_DELTA_AUTO, 1200 * MB, 990));
    assert_false(begins(ENGINE_DELTA_AUTO, 1 * MB, 990));
    assert_false(begins(ENGINE_DELTA_OFF, 118 * MB, 990));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(deltas_begin_where_the_link_is_the_bottleneck),
        cmocka_unit_test(deltas_stay_out_of_the_way_where_the_cpu_is),
        cmocka_unit_test(a_link_that_is_faster_than_memory_or_said_little_needs_none),
    };
    return cmocka_run_group_tests_name("packing", tests, NULL, NULL);
}
