/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SDPS: threads that rewrite all of their memory faster than the capped link takes it. Without being held up
 * they would never fit the goal.
 */
#include "rig.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"

#define CAP (50 * 1000000ull)

/* After so many writes hardly a page of a thread's range is as it was. */
#define WRITES_OF_ALL 15000

struct log {
    struct rig *rig;
    struct rig_attempt *attempt;
    uint8_t *guest;    /* or NULL: only its threads write */
    uint64_t n_writes; /* that each thread does at least in each throttled round, however slow it is */
    uint64_t n_throttled, n_too_fast;
    uint64_t throttled_sent, throttled_dirty; /* pages, of all throttled rounds */
    uint64_t most_pages;                      /* of any round */
    unsigned end_in;                          /* throttled rounds until `end` is called */
    void (*end)(struct rig_attempt *attempt);
};

/* However slow this machine makes them. */
static void rewrite_all(void *user)
{
    const struct log *log = user;
    rig_wait_writes(log->rig, WRITES_OF_ALL);
}

static void note_round(const struct engine_round *round, void *user)
{
    struct log *log = user;
    if (round->pages > log->most_pages)
        log->most_pages = round->pages;
    /* After the scan, before hot chunks are moved: to a page that nobody else writes, of a chunk that is hot.
     */
    if (log->guest && round->n == 0)
        memset(log->guest + 8 * MIB, 0x5a, 64);
    if (!round->throttle_bytes_s)
        return;
    log->n_throttled++;
    log->n_too_fast += round->dirty_pages >= round->pages - round->zero_pages;
    log->throttled_sent += round->pages - round->zero_pages;
    log->throttled_dirty += round->dirty_pages;
    if (log->n_writes)
        rig_wait_writes(log->rig, log->n_writes);
    if (log->end && log->n_throttled == log->end_in)
        log->end(log->attempt);
}

static void busy_rig(struct rig *rig, struct log *log)
{
    log->rig = rig;
    rig_init(rig, 48 * MIB);
    /* Between the two there is a piece without memory. */
    rig_fill(rig, 8 * MIB, 16 * MIB - MIB / 8, 31);
    rig_fill(rig, 24 * MIB, 16 * MIB, 32);
    /* They begin and end within a chunk. */
    rig_start_guest(rig, 9 * MIB, 15 * MIB - MIB / 8, false);
    rig_start_guest(rig, 24 * MIB, 15 * MIB, false);
    rig_wait_writes(rig, 1000);
}

static struct rig_attempt new_attempt(enum engine_dirty dirty, struct log *log)
{
    struct rig_attempt attempt = {.n_channels = 2,
                                  .dirty = dirty,
                                  .goal_ns = 100 * NS_PER_MS,
                                  .bandwidth_bytes_s = CAP,
                                  .verify = true,
                                  .before_copy = rewrite_all,
                                  .round_done = note_round,
                                  .user = log};
    return attempt;
}

static void converges(enum engine_dirty dirty, bool is_kvm)
{
    struct rig rig;
    struct log log = {0};
    uint64_t beat = 0;
    struct rig_attempt attempt = new_attempt(dirty, &log);
    attempt.is_kvm = is_kvm;
    attempt.fault_beat = &beat;
    busy_rig(&rig, &log);
    log.guest = rig.guest;
    rig_move(&rig, &attempt);
    assert_true(log.n_throttled > 0);
    /* Of all together: a short round is as long as this machine makes it. */
    assert_true(log.throttled_dirty < log.throttled_sent);
    assert_true(attempt.stuns.total_ns > 0);
    uint64_t n_stuns = 0;
    for (unsigned i = 0; i < ENGINE_STUN_CLASSES; i++)
        n_stuns += attempt.stuns.counts[i];
    assert_true(n_stuns > 0);
    /* What was never touched is not sent because its neighbours are hot. */
    assert_in_range(log.most_pages, 1, (32 * MIB - MIB / 8) / ENGINE_PAGE_SIZE);
    /* Nobody waits any more. */
    assert_int_equal(beat, 0);
    rig_clear(&rig);
}

static void it_converges_and_no_write_is_lost(void **state)
{
    (void)state;
    converges(ENGINE_DIRTY_ASYNC, true);
    converges(ENGINE_DIRTY_ASYNC, false);
    converges(ENGINE_DIRTY_SYNC, true);
}

static void cancel_it(struct rig_attempt *attempt)
{
    struct err why = {0};
    (void)err_set(&why, ERR_CANCELLED, "cancelled", "the operator cancelled it");
    cancel_trigger(attempt->source_cancel, &why);
}

static void lose_the_peer(struct rig_attempt *attempt)
{
    for (unsigned i = 0; i < attempt->n_channels; i++)
        (void)shutdown(attempt->source_channels[i], SHUT_RDWR);
}

static void fails_then_moves(enum engine_dirty dirty, void (*end)(struct rig_attempt *attempt),
                             enum err_code expected)
{
    struct rig rig;
    uint64_t beat = 0;
    struct log log = {.end_in = 1, .end = end};
    struct rig_attempt first = new_attempt(dirty, &log);
    log.attempt = &first;
    first.fault_beat = &beat;
    busy_rig(&rig, &log);
    rig_run(&rig, &first);
    assert_int_equal(first.source_result, -1);
    assert_int_equal(first.source_err.code, expected);
    assert_int_equal(beat, 0);
    /* The guest runs on, and nothing is left that would hold it up. */
    rig_wait_writes(&rig, 10000);
    rig_fresh_destination(&rig);
    struct log again = {.rig = &rig};
    struct rig_attempt second = new_attempt(dirty, &again);
    rig_move(&rig, &second);
    rig_clear(&rig);
}

static void a_failure_meanwhile_frees_it_and_the_next_attempt_succeeds(void **state)
{
    (void)state;
    fails_then_moves(ENGINE_DIRTY_ASYNC, cancel_it, ERR_CANCELLED);
    fails_then_moves(ENGINE_DIRTY_ASYNC, lose_the_peer, ERR_PEER_LOST);
    fails_then_moves(ENGINE_DIRTY_SYNC, cancel_it, ERR_CANCELLED);
}

/* The writers are threads of this process; as threads of QEMU that are no vCPUs they may not be held up. */
static void threads_of_qemu_that_are_no_vcpus_go_on_at_once(void **state)
{
    (void)state;
    struct rig rig;
    struct log log = {.n_writes = WRITES_OF_ALL};
    struct rig_attempt attempt = new_attempt(ENGINE_DIRTY_ASYNC, &log);
    attempt.qemu_pid = getpid();
    attempt.max_rounds = 4;
    busy_rig(&rig, &log);
    rig_run(&rig, &attempt);
    assert_int_equal(attempt.source_result, -1);
    assert_string_equal(attempt.source_err.id, "not-converging");
    assert_true(log.n_throttled > 0);
    assert_true(log.n_too_fast > 0);
    rig_clear(&rig);
}

static void the_stun_limit_is_kept_and_named_when_it_is_too_low(void **state)
{
    (void)state;
    struct rig rig;
    struct log log = {.n_writes = WRITES_OF_ALL / 6};
    struct rig_attempt attempt = new_attempt(ENGINE_DIRTY_ASYNC, &log);
    attempt.stun_limit_percent = 1;
    attempt.max_rounds = 5;
    busy_rig(&rig, &log);
    rig_run(&rig, &attempt);
    assert_int_equal(attempt.source_result, -1);
    assert_string_equal(attempt.source_err.id, "not-converging");
    assert_non_null(strstr(attempt.source_err.fix, "stun limit (1 %)"));
    rig_clear(&rig);
}

static void who_writes_little_is_left_alone(void **state)
{
    (void)state;
    struct rig rig;
    struct log log = {0};
    struct rig_attempt attempt = new_attempt(ENGINE_DIRTY_ASYNC, &log);
    attempt.before_copy = NULL;
    rig_init(&rig, 96 * MIB);
    rig_fill(&rig, 0, 32 * MIB, 32);
    rig_start_guest(&rig, 0, MIB, true);
    rig_move(&rig, &attempt);
    assert_int_equal(log.n_throttled, 0);
    assert_int_equal(attempt.stuns.total_ns, 0);
    rig_clear(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_converges_and_no_write_is_lost),
        cmocka_unit_test(a_failure_meanwhile_frees_it_and_the_next_attempt_succeeds),
        cmocka_unit_test(threads_of_qemu_that_are_no_vcpus_go_on_at_once),
        cmocka_unit_test(the_stun_limit_is_kept_and_named_when_it_is_too_low),
        cmocka_unit_test(who_writes_little_is_left_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
