/* SPDX-License-Identifier: Apache-2.0 */
#include "rig.h"

#define AT (3 * MIB + 5)

static void write_another_byte(void *user)
{
    struct rig *rig = user;
    rig->guest[AT] = (uint8_t)(rig->guest[AT] + 1);
}

/* To a source that hears of writes before they happen it looks like a vCPU that the stop interrupted. */
static void write_the_same_byte(void *user)
{
    struct rig *rig = user;
    *(volatile uint8_t *)&rig->guest[AT] = rig->guest[AT];
}

static void run(struct rig *rig, struct rig_attempt *attempt)
{
    rig_init(rig, 16 * MIB);
    rig_fill(rig, 0, 8 * MIB, 11);
    attempt->n_channels = 1;
    attempt->user = rig;
    rig_run(rig, attempt);
    rig_clear(rig);
}

static void a_write_fails_the_attempt(void **state)
{
    (void)state;
    for (int kind = ENGINE_DIRTY_ASYNC; kind <= ENGINE_DIRTY_SYNC; kind++) {
        struct rig rig;
        struct rig_attempt attempt = {.dirty = (enum engine_dirty)kind, .before_quiet = write_another_byte};
        run(&rig, &attempt);
        assert_int_equal(attempt.source_result, -1);
        assert_string_equal(attempt.source_err.id, "written-after-stop");
    }
}

static void a_writer_that_wrote_nothing_does_not(void **state)
{
    (void)state;
    struct rig rig;
    struct rig_attempt attempt = {.dirty = ENGINE_DIRTY_SYNC, .before_quiet = write_the_same_byte};
    run(&rig, &attempt);
    assert_string_equal(attempt.source_err.message, "");
    assert_int_equal(attempt.source_result, 0);
}

/* Between the stop and the last scan: what is changed is sent. */
static void a_write_before_the_last_scan_is_sent(void **state)
{
    (void)state;
    for (int kind = ENGINE_DIRTY_ASYNC; kind <= ENGINE_DIRTY_SYNC; kind++) {
        struct rig rig;
        struct rig_attempt attempt = {.n_channels = 1,
                                      .dirty = (enum engine_dirty)kind,
                                      .verify = true,
                                      .before_finish = write_another_byte,
                                      .user = &rig};
        rig_init(&rig, 16 * MIB);
        rig_fill(&rig, 0, 8 * MIB, 13);
        rig_move(&rig, &attempt);
        rig_clear(&rig);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_write_fails_the_attempt),
        cmocka_unit_test(a_writer_that_wrote_nothing_does_not),
        cmocka_unit_test(a_write_before_the_last_scan_is_sent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
