/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "cli/steps.h"

#define S NS_PER_S

static int set_up(void **state)
{
    struct steps *steps = g_new0(struct steps, 1);
    steps_init(steps);
    *state = steps;
    return 0;
}

static int tear_down(void **state)
{
    steps_clear(*state);
    g_free(*state);
    return 0;
}

static void each_phase_is_said_once(void **state)
{
    assert_true(steps_say(*state, "request", "", 0));
    assert_false(steps_say(*state, "request", "", 1 * S));
    assert_true(steps_say(*state, "copy", "", 2 * S));
    assert_false(steps_say(*state, "copy", "", 1000 * S));
}

static void a_wait_is_said_when_it_begins_and_after_a_while(void **state)
{
    assert_true(steps_say(*state, "copy", "", 0));
    assert_true(steps_say(*state, "copy", "the network", 1 * S));
    for (unsigned i = 2; i < 31; i++)
        assert_false(steps_say(*state, "copy", "the network", i * S));
    assert_true(steps_say(*state, "copy", "the network", 31 * S));
    assert_false(steps_say(*state, "copy", "the network", 32 * S));
}

static void a_wait_that_comes_and_goes_is_said_once(void **state)
{
    assert_true(steps_say(*state, "copy", "the network", 0));
    for (unsigned i = 1; i < 30; i += 3) {
        assert_false(steps_say(*state, "copy", "", i * S));
        assert_int_equal(steps_say(*state, "copy", "memory", i * S), i == 1);
        assert_false(steps_say(*state, "copy", "the network", i * S));
    }
}

static void the_same_wait_in_another_phase_is_news(void **state)
{
    assert_true(steps_say(*state, "copy", "host 'h2'", 0));
    assert_true(steps_say(*state, "switch-over", "host 'h2'", 1 * S));
    assert_false(steps_say(*state, "switch-over", "host 'h2'", 2 * S));
}

#define PROMISE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PROMISE(each_phase_is_said_once),
        PROMISE(a_wait_is_said_when_it_begins_and_after_a_while),
        PROMISE(a_wait_that_comes_and_goes_is_said_once),
        PROMISE(the_same_wait_in_another_phase_is_news),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
