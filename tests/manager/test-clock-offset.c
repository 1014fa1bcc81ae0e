/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "manager/clock_offset.h"

static void it_is_zero_when_the_call_cannot_tell(void **state)
{
    (void)state;
    struct clock_offset offset = {0};
    assert_int_equal(clock_offset_ms(&offset), 0);
    clock_offset_take(&offset, 1000, 1040, 1035); /* within the call */
    assert_true(offset.is_known);
    assert_int_equal(clock_offset_ms(&offset), 0);
}

static void the_shortest_call_is_believed(void **state)
{
    (void)state;
    struct clock_offset offset = {0};
    clock_offset_take(&offset, 1000, 1200, 6130);
    assert_int_equal(clock_offset_ms(&offset), 5030);
    clock_offset_take(&offset, 2000, 2010, 7005);
    assert_int_equal(clock_offset_ms(&offset), 5000);
    clock_offset_take(&offset, 3000, 3100, 8080);
    assert_int_equal(clock_offset_ms(&offset), 5000);
}

static void an_old_measurement_and_a_clock_that_was_set_make_room(void **state)
{
    (void)state;
    struct clock_offset offset = {0};
    clock_offset_take(&offset, 1000, 1002, 6001);
    assert_int_equal(clock_offset_ms(&offset), 5000);
    clock_offset_take(&offset, 2000, 2100, 2050); /* no call is slow enough to explain that */
    assert_int_equal(clock_offset_ms(&offset), 0);
    clock_offset_take(&offset, 70000, 70400, 70800);
    assert_int_equal(clock_offset_ms(&offset), 600);
    clock_offset_take(&offset, 20000, 20100, 20650); /* our own clock was set back */
    assert_int_equal(clock_offset_ms(&offset), 600);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_zero_when_the_call_cannot_tell),
        cmocka_unit_test(the_shortest_call_is_believed),
        cmocka_unit_test(an_old_measurement_and_a_clock_that_was_set_make_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
