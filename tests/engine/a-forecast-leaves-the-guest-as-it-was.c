/* SPDX-License-Identifier: Apache-2.0 */
/* A forecast says how much memory there is and how much of it is written, moves nothing, and a move
 * afterwards is as if there had been none; also when it is cut off. */
#include "rig.h"

#include <string.h>
#include <unistd.h>

#include "base/clock.h"

#define RAM (256 * MIB)
#define USED (64 * MIB)
#define ZERO (16 * MIB)
#define HOT (8 * MIB)

struct receiving {
    struct rig *rig;
    struct rig_attempt *attempt;
};

/* It keeps nothing: a scratch file, as the agent makes one. */
static void *receive(void *argument)
{
    struct receiving *receiving = argument;
    struct rig_attempt *attempt = receiving->attempt;
    struct engine_dest_config config = rig_dest_config(receiving->rig, attempt);
    struct engine_dest *dest = NULL;
    attempt->destination_result = engine_dest_new(&config, &dest, &attempt->destination_err);
    if (attempt->destination_result == 0)
        attempt->destination_result =
            engine_dest_receive(dest, &attempt->verified, &attempt->destination_err);
    engine_dest_free(dest);
    return NULL;
}

static void forecast(struct rig *rig, struct rig_attempt *attempt, struct engine_forecast *ret)
{
    struct thread thread = {0};
    struct receiving receiving = {rig, attempt};
    struct engine_source *source = NULL;
    struct engine_costs costs = {.begin_ns = 5 * NS_PER_MS, .switch_ns = 15 * NS_PER_MS};
    rig_open(attempt);
    assert_int_equal(thread_start(&thread, "destination", receive, &receiving, &attempt->source_err), 0);
    if (attempt->opened)
        attempt->opened(attempt);
    struct engine_source_config config = rig_source_config(rig, attempt);
    assert_int_equal(engine_source_new(&config, &source, &attempt->source_err), 0);
    attempt->used = engine_source_dirty(source);
    attempt->source_result = engine_source_forecast(source, &costs, ret, &attempt->source_err);
    engine_source_free(source);
    thread_join(&thread);
    rig_close(attempt);
}

static void fill(struct rig *rig)
{
    rig_init(rig, RAM);
    rig_fill(rig, 0, USED, 7);
    memset(rig->guest + USED - ZERO, 0, ZERO);
    rig_start_guest(rig, 0, HOT, true);
    rig_wait_writes(rig, 1);
}

static void move_afterwards(struct rig *rig)
{
    rig_fresh_destination(rig);
    struct rig_attempt move = {.n_channels = 2, .verify = true};
    rig_move(rig, &move);
    rig_clear(rig);
}

static void says_what_there_is(enum engine_dirty kind)
{
    struct rig rig;
    struct engine_forecast found = {0};
    fill(&rig);
    struct rig_attempt attempt = {.n_channels = 2, .dirty = kind};
    forecast(&rig, &attempt, &found);
    assert_int_equal(attempt.source_result, 0);
    assert_int_equal(attempt.destination_result, 0);
    assert_int_equal(attempt.used, kind);
    print_message("%.0f ms, downtime %.1f ms, %u rounds, dirty %.1f MB/s of %.1f MB, %.0f MB/s on the wire\n",
                  (double)found.duration_ns / 1e6, (double)found.downtime_ns / 1e6, found.n_rounds,
                  (double)found.dirty_bytes_s / 1e6, (double)found.working_set_bytes / 1e6,
                  (double)found.link_bytes_s / 1e6);
    assert_true(found.converges);
    assert_true(found.n_rounds >= 2);
    assert_int_equal(found.used_bytes, USED);
    assert_in_range(found.zero_percent, 20, 30);
    assert_true(found.dirty_bytes_s > 0);
    assert_true(found.working_set_bytes > 0 && found.working_set_bytes <= RAM);
    assert_true(found.link_bytes_s > 0 && found.first_bytes_s > 0 && found.again_bytes_s > 0);
    assert_true(found.downtime_ns > 15 * NS_PER_MS && found.duration_ns > found.downtime_ns);
    /* The guest writes on as before, and not all of its memory has crossed. */
    rig_wait_writes(&rig, 1000);
    move_afterwards(&rig);
}

static void with_the_async_source(void **state)
{
    (void)state;
    says_what_there_is(ENGINE_DIRTY_ASYNC);
}

static void with_the_sync_source(void **state)
{
    (void)state;
    says_what_there_is(ENGINE_DIRTY_SYNC);
}

static void cancel_source(struct rig_attempt *attempt)
{
    struct err why = {0};
    (void)err_set(&why, ERR_CANCELLED, "cancelled", "no more");
    cancel_trigger(attempt->source_cancel, &why);
}

static void lose_destination(struct rig_attempt *attempt)
{
    struct err why = {0};
    (void)err_set(&why, ERR_CANCELLED, "cancelled", "gone");
    cancel_trigger(attempt->destination_cancel, &why);
}

static void one_that_is_cut_off_leaves_nothing(void **state)
{
    (void)state;
    static void (*const ends[])(struct rig_attempt * attempt) = {cancel_source, lose_destination};
    for (unsigned i = 0; i < 2; i++) {
        struct rig rig;
        struct engine_forecast found = {0};
        fill(&rig);
        struct rig_attempt attempt = {.n_channels = 1, .opened = ends[i]};
        forecast(&rig, &attempt, &found);
        assert_int_equal(attempt.source_result, -1);
        assert_int_equal(attempt.source_err.code, i ? ERR_PEER_LOST : ERR_CANCELLED);
        rig_wait_writes(&rig, 1000);
        move_afterwards(&rig);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(with_the_async_source),
                                       cmocka_unit_test(with_the_sync_source),
                                       cmocka_unit_test(one_that_is_cut_off_leaves_nothing)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
