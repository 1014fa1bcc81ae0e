/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/clock.h"
#include "engine/policy.h"

#define MB 1000000ull
#define GB 1000000000ull

static enum policy_answer after(struct policy *policy, uint64_t sent, uint64_t ms, uint64_t dirty)
{
    struct policy_round round = {sent, ms * NS_PER_MS, dirty};
    return policy_decide(policy, &round);
}

static void stops_when_the_rest_fits_the_goal_less_fixed_costs(void **state)
{
    (void)state;
    struct policy policy;
    policy_init(&policy, 100 * NS_PER_MS, 40 * NS_PER_MS, 0);
    assert_int_equal(after(&policy, GB, 1000, 61 * MB), POLICY_CONTINUE);
    policy_init(&policy, 100 * NS_PER_MS, 40 * NS_PER_MS, 0);
    assert_int_equal(after(&policy, 60 * MB, 60, 60 * MB), POLICY_STOP);
}

static void runs_another_round_while_it_halves_the_rest(void **state)
{
    (void)state;
    struct policy policy;
    policy_init(&policy, 100 * NS_PER_MS, 0, 0);
    assert_int_equal(after(&policy, GB, 1000, 60 * MB), POLICY_CONTINUE);
    assert_int_equal(after(&policy, 60 * MB, 60, 4 * MB), POLICY_CONTINUE);
    assert_int_equal(after(&policy, 4 * MB, 4, MB), POLICY_STOP);
    /* But not for ever. */
    policy_init(&policy, 100 * NS_PER_MS, 0, 0);
    for (unsigned i = 0; i < POLICY_POLISH_ROUNDS; i++)
        assert_int_equal(after(&policy, GB, 1000, 50 * MB), POLICY_CONTINUE);
    assert_int_equal(after(&policy, GB, 1000, 50 * MB), POLICY_STOP);
    /* And not after the last round. */
    policy_init(&policy, 100 * NS_PER_MS, 0, 1);
    assert_int_equal(after(&policy, GB, 1000, 50 * MB), POLICY_STOP);
}

static void leaves_a_tenth_when_the_goal_is_below_the_fixed_cost(void **state)
{
    (void)state;
    struct policy policy;
    policy_init(&policy, 100 * NS_PER_MS, 400 * NS_PER_MS, 0);
    assert_int_equal(after(&policy, GB, 1000, 11 * MB), POLICY_CONTINUE);
    policy_init(&policy, 100 * NS_PER_MS, 400 * NS_PER_MS, 0);
    assert_int_equal(after(&policy, 10 * MB, 10, 10 * MB), POLICY_STOP);
}

static void stops_at_once_when_nothing_is_dirty(void **state)
{
    (void)state;
    struct policy policy;
    policy_init(&policy, 0, 0, 0);
    assert_int_equal(after(&policy, 0, 0, 0), POLICY_STOP);
}

static void a_tiny_round_does_not_unlearn_the_rate(void **state)
{
    (void)state;
    struct policy policy;
    policy_init(&policy, 100 * NS_PER_MS, 0, 0);
    assert_int_equal(after(&policy, GB, 1000, 500 * MB), POLICY_CONTINUE);
    /* 40 kB in 40 ms is latency, not the link. */
    assert_int_equal(after(&policy, 40000, 40, 90 * MB), POLICY_STOP);
    /* A whole second at a tenth of the speed is the link. */
    assert_int_equal(after(&policy, 100 * MB, 1000, 90 * MB), POLICY_CONTINUE);
}

static void gives_up_after_the_last_round(void **state)
{
    (void)state;
    struct policy policy;
    policy_init(&policy, NS_PER_MS, 0, 3);
    assert_int_equal(after(&policy, GB, 1000, 900 * MB), POLICY_CONTINUE);
    assert_int_equal(after(&policy, GB, 1000, 700 * MB), POLICY_CONTINUE);
    assert_int_equal(after(&policy, GB, 1000, 500 * MB), POLICY_GIVE_UP);
    policy_init(&policy, NS_PER_MS, 0, 1);
    assert_int_equal(after(&policy, GB, 1000, 0), POLICY_STOP);
}

static void gives_up_when_nothing_improves_for_long(void **state)
{
    (void)state;
    struct policy policy;
    policy_init(&policy, NS_PER_MS, 0, 0);
    assert_int_equal(after(&policy, GB, 1000, 500 * MB), POLICY_CONTINUE);
    for (unsigned i = 1; i < POLICY_PATIENCE_ROUNDS; i++)
        assert_int_equal(after(&policy, 500 * MB, 1000, 490 * MB), POLICY_CONTINUE);
    assert_int_equal(after(&policy, 500 * MB, 1000, 490 * MB), POLICY_GIVE_UP);
}

static void short_rounds_are_waited_for(void **state)
{
    (void)state;
    struct policy policy;
    policy_init(&policy, NS_PER_MS, 0, 1000);
    assert_int_equal(after(&policy, GB, 1000, 50 * MB), POLICY_CONTINUE);
    for (unsigned i = 0; i < 90; i++)
        assert_int_equal(after(&policy, 50 * MB, 50, 50 * MB), POLICY_CONTINUE);
    /* An improvement starts the count again. */
    assert_int_equal(after(&policy, 50 * MB, 50, 40 * MB), POLICY_CONTINUE);
    for (unsigned i = 0; i < 99; i++)
        assert_int_equal(after(&policy, 50 * MB, 50, 40 * MB), POLICY_CONTINUE);
    assert_int_equal(after(&policy, 50 * MB, 50, 40 * MB), POLICY_GIVE_UP);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stops_when_the_rest_fits_the_goal_less_fixed_costs),
        cmocka_unit_test(runs_another_round_while_it_halves_the_rest),
        cmocka_unit_test(leaves_a_tenth_when_the_goal_is_below_the_fixed_cost),
        cmocka_unit_test(stops_at_once_when_nothing_is_dirty),
        cmocka_unit_test(a_tiny_round_does_not_unlearn_the_rate),
        cmocka_unit_test(gives_up_after_the_last_round),
        cmocka_unit_test(gives_up_when_nothing_improves_for_long),
        cmocka_unit_test(short_rounds_are_waited_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
