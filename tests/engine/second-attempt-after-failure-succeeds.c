/* SPDX-License-Identifier: Apache-2.0 */
#include "rig.h"

#include <sys/socket.h>

#include "base/clock.h"

static struct rig_attempt *failing;

static void lose_the_peer(const struct engine_round *round, void *user)
{
    (void)round;
    (void)user;
    (void)shutdown(failing->source_channels[0], SHUT_RDWR);
}

static void cancel_it(const struct engine_round *round, void *user)
{
    struct err why = {0};
    (void)round;
    (void)user;
    (void)err_set(&why, ERR_CANCELLED, "cancelled", "the operator cancelled it");
    cancel_trigger(failing->source_cancel, &why);
}

static void fail_then_move(enum engine_dirty dirty,
                           void (*cause)(const struct engine_round *round, void *user),
                           enum err_code expected)
{
    struct rig rig;
    rig_init(&rig, 64 * MIB);
    rig_fill(&rig, 0, 32 * MIB, 21);
    rig_start_guest(&rig, 0, 48 * MIB, false);
    /* A goal that is never met, so that it takes another round to fail in. */
    struct rig_attempt first = {.n_channels = 2, .dirty = dirty, .goal_ns = 1, .round_done = cause};
    failing = &first;
    rig_run(&rig, &first);
    assert_int_equal(first.source_result, -1);
    assert_int_equal(first.source_err.code, expected);
    assert_int_equal(first.destination_result, -1);
    assert_int_equal(first.destination_err.code, ERR_PEER_LOST);
    /* The guest runs on. */
    rig_wait_writes(&rig, 1000);
    rig_fresh_destination(&rig);
    struct rig_attempt second = {.n_channels = 2, .dirty = dirty, .verify = true, .goal_ns = 3 * NS_PER_S};
    rig_move(&rig, &second);
    rig_clear(&rig);
}

static void after_a_lost_peer(void **state)
{
    (void)state;
    fail_then_move(ENGINE_DIRTY_ASYNC, lose_the_peer, ERR_PEER_LOST);
    fail_then_move(ENGINE_DIRTY_SYNC, lose_the_peer, ERR_PEER_LOST);
}

static void after_a_cancellation(void **state)
{
    (void)state;
    fail_then_move(ENGINE_DIRTY_ASYNC, cancel_it, ERR_CANCELLED);
    fail_then_move(ENGINE_DIRTY_SYNC, cancel_it, ERR_CANCELLED);
}

/* However the machine is loaded: the next scan finds something. */
static void let_the_guest_write(const struct engine_round *round, void *user)
{
    (void)round;
    rig_wait_writes(user, 1);
}

static void after_too_many_rounds(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig, 64 * MIB);
    rig_fill(&rig, 0, 64 * MIB, 22);
    rig_start_guest(&rig, 0, 64 * MIB, false);
    struct rig_attempt first = {
        .n_channels = 1, .goal_ns = 1, .max_rounds = 3, .round_done = let_the_guest_write, .user = &rig};
    rig_run(&rig, &first);
    assert_int_equal(first.source_err.code, ERR_REFUSED);
    assert_string_equal(first.source_err.id, "not-converging");
    assert_int_equal(first.n_rounds, 3);
    rig_fresh_destination(&rig);
    struct rig_attempt second = {.n_channels = 1, .verify = true, .goal_ns = 3 * NS_PER_S};
    rig_move(&rig, &second);
    rig_clear(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(after_a_lost_peer),
        cmocka_unit_test(after_a_cancellation),
        cmocka_unit_test(after_too_many_rounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
