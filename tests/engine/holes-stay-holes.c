/* SPDX-License-Identifier: Apache-2.0 */
#include "rig.h"

#include <string.h>

/* Data in one megabyte of each eight, zero pages in another, nothing in the rest. */
static void fill_sparsely(struct rig *rig)
{
    for (uint64_t at = 0; at < rig->size; at += 8 * MIB) {
        rig_fill(rig, at, MIB, at + 1);
        memset(rig->guest + at + 4 * MIB, 0, MIB);
    }
}

static void neither_side_gains_memory(enum engine_dirty dirty)
{
    struct rig rig;
    rig_init(&rig, 256 * MIB);
    fill_sparsely(&rig);
    uint64_t before = rig_allocated(rig.source_fd);
    struct rig_attempt attempt = {.n_channels = 2, .dirty = dirty, .verify = true};
    rig_run(&rig, &attempt);
    assert_int_equal(attempt.source_result, 0);
    assert_true(attempt.verified);
    assert_int_equal(rig_allocated(rig.source_fd), before);
    /* Zero pages need no memory there. */
    assert_int_equal(rig_allocated(rig.destination_fd), before / 2);
    assert_int_equal(attempt.snapshot.zero_pages, before / 2 / ENGINE_PAGE_SIZE);
    assert_int_equal(rig_difference(&rig), rig.size);
    rig_clear(&rig);
}

static void async_source(void **state)
{
    (void)state;
    neither_side_gains_memory(ENGINE_DIRTY_ASYNC);
}

static void sync_source(void **state)
{
    (void)state;
    neither_side_gains_memory(ENGINE_DIRTY_SYNC);
}

static void memory_without_data(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig, 64 * MIB);
    struct rig_attempt attempt = {.n_channels = 3, .verify = true};
    rig_run(&rig, &attempt);
    assert_int_equal(attempt.source_result, 0);
    assert_int_equal(attempt.destination_result, 0);
    assert_int_equal(rig_allocated(rig.source_fd), 0);
    assert_int_equal(rig_allocated(rig.destination_fd), 0);
    rig_clear(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(async_source),
        cmocka_unit_test(sync_source),
        cmocka_unit_test(memory_without_data),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
