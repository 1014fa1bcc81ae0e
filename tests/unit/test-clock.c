/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"

static void a_clock_that_is_put_right_does_not_go_back(void **state)
{
    (void)state;
    assert_int_equal(clock_in_order(5000, 5001), 5001);
    assert_int_equal(clock_in_order(5000, 5000), 5000);
    assert_int_equal(clock_in_order(5000, 4970), 5000);
    assert_int_equal(clock_in_order(5000, 4001), 5000);
}

static void a_clock_that_was_set_is_believed(void **state)
{
    (void)state;
    assert_int_equal(clock_in_order(5000, 4000), 4000);
    assert_int_equal(clock_in_order(7200000, 3600000), 3600000);
    assert_int_equal(clock_in_order(5000, 3600000), 3600000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_clock_that_is_put_right_does_not_go_back),
        cmocka_unit_test(a_clock_that_was_set_is_believed),
    };
    return cmocka_run_group_tests_name("clock", tests, NULL, NULL);
}
