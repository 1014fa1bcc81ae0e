/* SPDX-License-Identifier: Apache-2.0 */
#include "rig.h"

static void move_with_writers(enum engine_dirty dirty, unsigned n_writers, unsigned n_channels, bool is_kvm)
{
    struct rig rig;
    rig_init(&rig, 96 * MIB);
    rig_fill(&rig, 0, 48 * MIB, 7);
    for (unsigned i = 0; i < n_writers; i++)
        rig_start_guest(&rig, 8 * i * MIB, 16 * MIB, i % 2);
    rig_wait_writes(&rig, 10);
    struct rig_attempt attempt = {.n_channels = n_channels, .dirty = dirty, .is_kvm = is_kvm, .verify = true};
    rig_move(&rig, &attempt);
    assert_int_equal(attempt.used, dirty);
    rig_clear(&rig);
}

static void async_one_writer_one_channel(void **state)
{
    (void)state;
    move_with_writers(ENGINE_DIRTY_ASYNC, 1, 1, false);
}

static void async_four_writers_three_channels(void **state)
{
    (void)state;
    move_with_writers(ENGINE_DIRTY_ASYNC, 4, 3, true);
}

static void sync_one_writer_two_channels(void **state)
{
    (void)state;
    move_with_writers(ENGINE_DIRTY_SYNC, 1, 2, false);
}

static void sync_four_writers_one_channel(void **state)
{
    (void)state;
    move_with_writers(ENGINE_DIRTY_SYNC, 4, 1, true);
}

static void sixteen_channels(void **state)
{
    (void)state;
    move_with_writers(ENGINE_DIRTY_ASYNC, 2, 16, false);
}

static void pages_written_first_while_copying(void **state)
{
    /* All of RAM is a hole at the start: every page comes into being under protection. */
    (void)state;
    for (int kind = ENGINE_DIRTY_ASYNC; kind <= ENGINE_DIRTY_SYNC; kind++) {
        struct rig rig;
        rig_init(&rig, 64 * MIB);
        rig_start_guest(&rig, 0, 64 * MIB, true);
        struct rig_attempt attempt = {.n_channels = 2, .dirty = (enum engine_dirty)kind, .verify = true};
        rig_move(&rig, &attempt);
        rig_clear(&rig);
    }
}

static void automatic_source_is_async_here(void **state)
{
    (void)state;
    char detail[400];
    int best = engine_probe(detail, sizeof detail);
    struct rig rig;
    rig_init(&rig, 4 * MIB);
    rig_fill(&rig, 0, 4 * MIB, 3);
    struct rig_attempt attempt = {.n_channels = 1};
    rig_move(&rig, &attempt);
    assert_int_equal(attempt.used, best);
    rig_clear(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(async_one_writer_one_channel),
        cmocka_unit_test(async_four_writers_three_channels),
        cmocka_unit_test(sync_one_writer_two_channels),
        cmocka_unit_test(sync_four_writers_one_channel),
        cmocka_unit_test(sixteen_channels),
        cmocka_unit_test(pages_written_first_while_copying),
        cmocka_unit_test(automatic_source_is_async_here),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
