/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "doctor/pressure.h"

static void the_last_minute_is_read(void **state)
{
    struct pressure found;
    (void)state;
    assert_int_equal(pressure_parse("some avg10=98.32 avg60=78.80 avg300=34.45 total=139745492\n"
                                    "full avg10=1.00 avg60=2.50 avg300=0.00 total=7\n",
                                    &found),
                     0);
    assert_true(found.some > 78.7 && found.some < 78.9 && found.full > 2.4 && found.full < 2.6);
    /* An older kernel says nothing of all for the CPU. */
    assert_int_equal(pressure_parse("some avg10=0.00 avg60=0.10 avg300=0.00 total=1\n", &found), 0);
    assert_true(found.some > 0 && found.full == 0);
}

static void what_is_no_pressure_is_refused(void **state)
{
    struct pressure found;
    (void)state;
    assert_int_equal(pressure_parse("", &found), -1);
    assert_int_equal(pressure_parse("some", &found), -1);
    assert_int_equal(pressure_parse("some avg60=-1\n", &found), -1);
    assert_int_equal(pressure_parse("avg60=1.0\n", &found), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_last_minute_is_read),
        cmocka_unit_test(what_is_no_pressure_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
