/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <glib.h>

#include "agent/switch_cost.h"
#include "base/clock.h"

static struct agent agent;

static int setup(void **state)
{
    (void)state;
    memset(&agent, 0, sizeof agent);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    g_clear_pointer(&agent.switch_costs, g_hash_table_unref);
    return 0;
}

static struct move_spec to(const char *destination, const char *accel)
{
    struct move_spec spec = {.n_channels = 1};
    g_strlcpy(spec.destination, destination, sizeof spec.destination);
    g_strlcpy(spec.accel, accel, sizeof spec.accel);
    return spec;
}

/* Stopped after 1 ms; pages and device state were away `away_ms` later. */
static struct ctl_result took(unsigned downtime_ms, unsigned away_ms)
{
    struct ctl_result result = {.ok = 1, .downtime_ns = downtime_ms * NS_PER_MS};
    result.marks_ns[CTL_MARK_STOPPED] = NS_PER_MS;
    result.marks_ns[CTL_MARK_SAVED] = (1 + away_ms) * NS_PER_MS;
    return result;
}

static void the_pages_of_the_last_round_are_no_part_of_it(void **state)
{
    (void)state;
    struct ctl_result result = took(14, 5);
    assert_int_equal(switch_cost_of(&result).besides_ns, 9 * NS_PER_MS);
    result = took(59, 50);
    assert_int_equal(switch_cost_of(&result).besides_ns, 9 * NS_PER_MS);
}

static void what_tells_nothing_is_not_learnt(void **state)
{
    (void)state;
    struct move_spec spec = to("h2", "kvm");
    uint64_t before_ns = switch_cost_expect(&agent, &spec).besides_ns;
    struct ctl_result results[5] = {took(14, 5), took(14, 5), took(14, 5), took(14, 20), took(14, 5)};
    results[0].ok = 0;
    results[1].verified = 1; /* the destination made checksums of all memory meanwhile */
    results[2].marks_ns[CTL_MARK_STOPPED] = 0;
    results[4].marks_ns[CTL_MARK_SAVED] = NS_PER_MS / 2;
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(switch_cost_of(&results[i]).besides_ns, 0);
        switch_cost_learn(&agent, &spec, &results[i]);
    }
    assert_true(before_ns > 0);
    assert_int_equal(switch_cost_expect(&agent, &spec).besides_ns, before_ns);
}

static void each_destination_and_accelerator_has_its_own(void **state)
{
    (void)state;
    struct move_spec kvm = to("h2", "kvm"), tcg = to("h2", "tcg"), far = to("h3", "kvm");
    uint64_t unknown_ns = switch_cost_expect(&agent, &far).besides_ns;
    struct ctl_result result = took(30, 5);
    switch_cost_learn(&agent, &kvm, &result);
    result = took(45, 5);
    switch_cost_learn(&agent, &tcg, &result);
    assert_int_equal(switch_cost_expect(&agent, &kvm).besides_ns, 25 * NS_PER_MS);
    assert_int_equal(switch_cost_expect(&agent, &tcg).besides_ns, 40 * NS_PER_MS);
    assert_int_equal(switch_cost_expect(&agent, &far).besides_ns, unknown_ns);
}

/* One move on a busy host does not make the goal unreachable for those that follow. */
static void one_slow_move_is_forgotten(void **state)
{
    (void)state;
    struct move_spec spec = to("h2", "kvm");
    struct ctl_result result = took(5000, 5);
    switch_cost_learn(&agent, &spec, &result);
    assert_int_equal(switch_cost_expect(&agent, &spec).besides_ns, 200 * NS_PER_MS);
    result = took(15, 5);
    for (unsigned i = 0; i < 10; i++)
        switch_cost_learn(&agent, &spec, &result);
    assert_in_range(switch_cost_expect(&agent, &spec).besides_ns, 10 * NS_PER_MS, 11 * NS_PER_MS);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_pages_of_the_last_round_are_no_part_of_it),
        TEST(what_tells_nothing_is_not_learnt),
        TEST(each_destination_and_accelerator_has_its_own),
        TEST(one_slow_move_is_forgotten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
