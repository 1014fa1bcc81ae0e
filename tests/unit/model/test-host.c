/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "model/host.h"
#include "model/move.h"

static uint32_t channels(uint32_t source_mbit, uint32_t destination_mbit, uint32_t source_cpus,
                         uint32_t destination_cpus)
{
    struct host_facts source = {.migration_mbit = source_mbit, .cpus = source_cpus};
    struct host_facts destination = {.migration_mbit = destination_mbit, .cpus = destination_cpus};
    return host_channels(&source, &destination);
}

static void channels_follow_from_the_slower_link(void **state)
{
    (void)state;
    assert_int_equal(channels(1000, 1000, 64, 64), 1);
    assert_int_equal(channels(10000, 10000, 64, 64), 2);
    assert_int_equal(channels(25000, 10000, 64, 64), 2);
    assert_int_equal(channels(25000, 25000, 64, 64), 4);
    assert_int_equal(channels(100000, 100000, 64, 64), 13);
    assert_int_equal(channels(400000, 400000, 128, 128), MOVE_CHANNELS_MAX);
}

static void channels_leave_half_of_the_cores_to_guests(void **state)
{
    (void)state;
    assert_int_equal(channels(100000, 100000, 8, 64), 4);
    assert_int_equal(channels(100000, 100000, 64, 4), 2);
    assert_int_equal(channels(100000, 100000, 2, 2), 1);
    assert_int_equal(channels(100000, 100000, 1, 1), 1);
}

static void an_unknown_link_counts_as_ten_gigabit(void **state)
{
    (void)state;
    assert_int_equal(channels(0, 0, 64, 64), 2);
    assert_int_equal(channels(0, 1000, 64, 64), 1);
    assert_int_equal(channels(40000, 0, 64, 64), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(channels_follow_from_the_slower_link),
        cmocka_unit_test(channels_leave_half_of_the_cores_to_guests),
        cmocka_unit_test(an_unknown_link_counts_as_ten_gigabit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
