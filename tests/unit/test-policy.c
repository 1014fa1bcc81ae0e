/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/err.h"
#include "engine/chunks.h"
#include "engine/policy.h"
#include "engine/throttle.h"

#define MB 1000000ull
#define GB 1000000000ull

static enum policy_answer after(struct policy *policy, uint64_t sent, uint64_t ms, uint64_t dirty)
{
    struct policy_round round = {.content_bytes = sent, .duration_ns = ms * NS_PER_MS, .dirty_bytes = dirty};
    return policy_decide(policy, &round);
}

static void stops_when_the_rest_fits_the_goal_less_fixed_costs(void **state)
{
    (void)state;
    struct policy policy;
    policy_init(&policy, 100 * NS_PER_MS, 40 * NS_PER_MS, 0);
    assert_int_equal(after(&policy, GB, 1000, 61 * MB), POLICY_CONTINUE);
    policy_init(&policy, 100 * NS_PER_MS, 40 * NS_PER_MS, 0);
    assert_int_equal(after(&policy, 60 * MB, 60, 60 * MB), POLICY_STOP);
}

static void runs_another_round_while_it_halves_the_rest(void **state)
{
    (void)state;
    struct policy policy;
    policy_init(&policy, 100 * NS_PER_MS, 0, 0);
    assert_int_equal(after(&policy, GB, 1000, 60 * MB), POLICY_CONTINUE);
    assert_int_equal(after(&policy, 60 * MB, 60, 4 * MB), POLICY_CONTINUE);
    assert_int_equal(after(&policy, 4 * MB, 4, MB), POLICY_STOP);
    /* But not for ever. */
    policy_init(&policy, 100 * NS_PER_MS, 0, 0);
    for (unsigned i = 0; i < POLICY_POLISH_ROUNDS; i++)
        assert_int_equal(after(&policy, GB, 1000, 50 * MB), POLICY_CONTINUE);
    assert_int_equal(after(&policy, GB, 1000, 50 * MB), POLICY_STOP);
    /* And not after the last round. */
    policy_init(&policy, 100 * NS_PER_MS, 0, 1);
    assert_int_equal(after(&policy, GB, 1000, 50 * MB), POLICY_STOP);
}

static void leaves_a_tenth_when_the_goal_is_below_the_fixed_cost(void **state)
{
    (void)state;
    struct policy policy;
    policy_init(&policy, 100 * NS_PER_MS, 400 * NS_PER_MS, 0);
    assert_int_equal(after(&policy, GB, 1000, 11 * MB), POLICY_CONTINUE);
    policy_init(&policy, 100 * NS_PER_MS, 400 * NS_PER_MS, 0);
    assert_int_equal(after(&policy, 10 * MB, 10, 10 * MB), POLICY_STOP);
}

static void stops_at_once_when_nothing_is_dirty(void **state)
{
    (void)state;
    struct policy policy;
    policy_init(&policy, 0, 0, 0);
    assert_int_equal(after(&policy, 0, 0, 0), POLICY_STOP);
}

static void a_tiny_round_does_not_unlearn_the_rate(void **state)
{
    (void)state;
    struct policy policy;
    policy_init(&policy, 100 * NS_PER_MS, 0, 0);
    assert_int_equal(after(&policy, GB, 1000, 500 * MB), POLICY_CONTINUE);
    /* 40 kB in 40 ms is latency, not the link. */
    assert_int_equal(after(&policy, 40000, 40, 90 * MB), POLICY_STOP);
    /* A whole second at a tenth of the speed is the link. */
    assert_int_equal(after(&policy, 100 * MB, 1000, 80 * MB), POLICY_CONTINUE);
}

/* 100 ms there and back, as between distant data centres: no round is shorter, and what the guest dirties
 * meanwhile takes 2 ms to send. */
static void a_long_way_is_no_slow_link(void **state)
{
    (void)state;
    struct policy policy;
    policy_init(&policy, 20 * NS_PER_MS, 0, 0);
    assert_int_equal(after(&policy, GB, 10000, 20 * MB), POLICY_CONTINUE);
    assert_int_equal(after(&policy, 20 * MB, 300, 600000), POLICY_CONTINUE);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(after(&policy, 600000, 110, 210000), POLICY_CONTINUE);
    assert_int_equal(after(&policy, 210000, 102, 210000), POLICY_STOP);
}

/* As measured: a switch-over takes three times there and back, and each round leaves 34 ms. */
static void what_adds_little_to_a_long_switch_over_is_no_reason_to_fail(void **state)
{
    (void)state;
    struct policy policy;
    policy_init(&policy, 100 * NS_PER_MS, 300 * NS_PER_MS, 0);
    (void)after(&policy, 24 * MB, 4000, 2 * MB);
    enum policy_answer answer = POLICY_CONTINUE;
    unsigned n = 0;
    for (; n < POLICY_MAX_ROUNDS && answer != POLICY_STOP; n++) {
        answer = after(&policy, 204000, 110, 204000);
        assert_int_not_equal(answer, POLICY_GIVE_UP);
    }
    /* Not before it is clear that there will not be less. */
    assert_true(n > POLICY_PATIENCE_ROUNDS);
    assert_int_equal(answer, POLICY_STOP);
    /* What would double it is one. */
    policy_init(&policy, 100 * NS_PER_MS, 300 * NS_PER_MS, 0);
    (void)after(&policy, 24 * MB, 4000, 4 * MB);
    for (answer = POLICY_CONTINUE; answer != POLICY_GIVE_UP;) {
        answer = after(&policy, 2 * MB, 440, 2 * MB);
        assert_int_not_equal(answer, POLICY_STOP);
    }
}

static void the_last_scan_is_part_of_the_downtime(void **state)
{
    (void)state;
    struct policy policy;
    struct policy_round round = {
        .content_bytes = GB, .duration_ns = NS_PER_S, .dirty_bytes = 61 * MB, .collect_ns = 20 * NS_PER_MS};
    policy_init(&policy, 100 * NS_PER_MS, 20 * NS_PER_MS, 1);
    assert_int_equal(policy_decide(&policy, &round), POLICY_GIVE_UP);
    policy_init(&policy, 100 * NS_PER_MS, 20 * NS_PER_MS, 1);
    round.dirty_bytes = 60 * MB;
    assert_int_equal(policy_decide(&policy, &round), POLICY_STOP);
}

static void gives_up_after_the_last_round(void **state)
{
    (void)state;
    struct policy policy;
    policy_init(&policy, NS_PER_MS, 0, 3);
    assert_int_equal(after(&policy, GB, 1000, 700 * MB), POLICY_CONTINUE);
    assert_int_equal(after(&policy, 700 * MB, 700, 500 * MB), POLICY_CONTINUE);
    assert_int_equal(after(&policy, 500 * MB, 500, 300 * MB), POLICY_GIVE_UP);
    policy_init(&policy, NS_PER_MS, 0, 1);
    assert_int_equal(after(&policy, GB, 1000, 0), POLICY_STOP);
}

static void gives_up_when_nothing_improves_for_long(void **state)
{
    (void)state;
    struct policy policy;
    policy_init(&policy, NS_PER_MS, 0, 0);
    assert_int_equal(after(&policy, GB, 1000, 500 * MB), POLICY_CONTINUE);
    /* The guest is held up, and it does not help. */
    for (unsigned i = 0; i <= POLICY_PATIENCE_ROUNDS; i++)
        assert_int_equal(after(&policy, 500 * MB, 1000, 490 * MB), POLICY_THROTTLE);
    assert_int_equal(after(&policy, 500 * MB, 1000, 490 * MB), POLICY_GIVE_UP);
}

static void short_rounds_are_waited_for(void **state)
{
    (void)state;
    struct policy policy;
    policy_init(&policy, NS_PER_MS, 0, 1000);
    assert_int_equal(after(&policy, GB, 1000, 50 * MB), POLICY_CONTINUE);
    for (unsigned i = 0; i < 90; i++)
        assert_int_not_equal(after(&policy, 50 * MB, 50, 50 * MB), POLICY_GIVE_UP);
    /* An improvement starts the count again. */
    assert_int_equal(after(&policy, 50 * MB, 50, 40 * MB), POLICY_THROTTLE);
    for (unsigned i = 0; i < 99; i++)
        assert_int_equal(after(&policy, 50 * MB, 50, 40 * MB), POLICY_THROTTLE);
    assert_int_equal(after(&policy, 50 * MB, 50, 40 * MB), POLICY_GIVE_UP);
}

/* A 1 Gbit/s link: 117 MB/s. */
static void a_guest_that_rewrites_all_at_once_is_held_up_after_one_round(void **state)
{
    (void)state;
    struct policy policy;
    policy_init(&policy, 50 * NS_PER_MS, 15 * NS_PER_MS, 0);
    assert_int_equal(after(&policy, 280 * MB, 2393, 268 * MB), POLICY_THROTTLE);
    assert_in_range(policy.throttle_bytes_s, 117 * MB * POLICY_SHARE / 100 - MB,
                    117 * MB * POLICY_SHARE / 100 + MB);
    assert_int_equal(after(&policy, 268 * MB, 2290, 107 * MB), POLICY_THROTTLE);
    assert_int_equal(after(&policy, 107 * MB, 914, 43 * MB), POLICY_THROTTLE);
    assert_int_equal(after(&policy, 43 * MB, 367, 17 * MB), POLICY_THROTTLE);
    assert_int_equal(after(&policy, 17 * MB, 145, 7 * MB), POLICY_THROTTLE);
    assert_int_equal(after(&policy, 7 * MB, 60, 3 * MB), POLICY_THROTTLE); /* one more is worth it */
    assert_int_equal(after(&policy, 3 * MB, 26, 100000), POLICY_STOP);
}

/* 64 MB rewritten all the time over a fast link: the first round was slow because it touched fresh memory. */
static void a_small_working_set_on_a_fast_link_is_left_alone(void **state)
{
    (void)state;
    struct policy policy;
    policy_init(&policy, 100 * NS_PER_MS, 15 * NS_PER_MS, 0);
    assert_int_equal(after(&policy, 70 * MB, 160, 66 * MB), POLICY_CONTINUE);
    assert_int_equal(after(&policy, 66 * MB, 66, 66 * MB), POLICY_STOP);
}

static void a_guest_that_converges_by_itself_is_left_alone(void **state)
{
    (void)state;
    struct policy policy;
    policy_init(&policy, 50 * NS_PER_MS, 15 * NS_PER_MS, 0);
    /* 80 MB/s dirtied at 117 MB/s sent. */
    uint64_t left = 280 * MB;
    enum policy_answer answer = POLICY_CONTINUE;
    for (unsigned round = 0; round < 40 && answer == POLICY_CONTINUE; round++) {
        answer = after(&policy, left, left / 117000, left * 80 / 117);
        left = left * 80 / 117;
    }
    assert_int_equal(answer, POLICY_STOP);
    /* 100 MB/s: it would, but not soon; a small working set does. */
    policy_init(&policy, 50 * NS_PER_MS, 15 * NS_PER_MS, 0);
    assert_int_equal(after(&policy, 280 * MB, 2393, 239 * MB), POLICY_THROTTLE);
    policy_init(&policy, 50 * NS_PER_MS, 15 * NS_PER_MS, 0);
    assert_int_equal(after(&policy, 60 * MB, 513, 51 * MB), POLICY_CONTINUE);
    /* A read-only one. */
    policy_init(&policy, 50 * NS_PER_MS, 15 * NS_PER_MS, 0);
    assert_int_equal(after(&policy, 280 * MB, 2393, 0), POLICY_STOP);
    /* One busy round near the goal is no reason yet. */
    policy_init(&policy, 50 * NS_PER_MS, 15 * NS_PER_MS, 0);
    assert_int_equal(after(&policy, 10 * MB, 85, 10 * MB), POLICY_CONTINUE);
    assert_int_equal(after(&policy, 10 * MB, 85, 5 * MB), POLICY_CONTINUE);
    assert_int_equal(after(&policy, 5 * MB, 43, 5 * MB), POLICY_CONTINUE);
    assert_int_equal(after(&policy, 5 * MB, 43, 5 * MB), POLICY_THROTTLE);
}

/* Once for a third of a second nobody had a core: 7 MB took that long, and the guest wrote on. */
static void one_short_round_that_was_delayed_is_no_reason(void **state)
{
    (void)state;
    const uint64_t goals_ms[] = {100, 10};
    for (unsigned i = 0; i < 2; i++) {
        struct policy policy;
        policy_init(&policy, goals_ms[i] * NS_PER_MS, (goals_ms[i] - 1) * NS_PER_MS, 0);
        assert_int_equal(after(&policy, 269 * MB, 470, 47 * MB), POLICY_CONTINUE);
        assert_int_equal(after(&policy, 47 * MB, 105, 7 * MB), POLICY_CONTINUE);
        assert_int_equal(after(&policy, 7 * MB, 296, 22 * MB), POLICY_CONTINUE);
        assert_int_equal(after(&policy, 22 * MB, 60, 6 * MB), POLICY_CONTINUE);
    }
}

static void it_is_held_harder_while_it_does_not_help(void **state)
{
    (void)state;
    struct policy policy;
    policy_init(&policy, 50 * NS_PER_MS, 0, 0);
    assert_int_equal(after(&policy, GB, 1000, GB), POLICY_THROTTLE);
    assert_int_equal(policy.throttle_bytes_s, GB / 100 * POLICY_SHARE);
    assert_int_equal(after(&policy, GB, 1000, 800 * MB), POLICY_THROTTLE);
    assert_int_equal(policy.throttle_bytes_s, GB / 100 * POLICY_SHARE / 2);
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(after(&policy, GB, 1000, 800 * MB), POLICY_THROTTLE);
    assert_int_equal(policy.throttle_bytes_s, GB / 100 * POLICY_SHARE_MIN);
}

/* A page waits 4 ms at most, so one vCPU cannot be held below 1 MB/s, which is all that this link passes.
 * Each round shrinks a little, so that "nothing improves" is never true. */
static void a_hold_that_does_not_hold_is_given_up(void **state)
{
    (void)state;
    struct policy policy;
    uint64_t dirty = 24 * MB;
    policy_init(&policy, 100 * NS_PER_MS, 0, 0);
    (void)after(&policy, 128 * MB, 128000, dirty);
    unsigned n = 0;
    for (enum policy_answer answer = POLICY_THROTTLE; answer != POLICY_GIVE_UP; n++) {
        assert_true(n < 4 + POLICY_PATIENCE_ROUNDS);
        uint64_t left = dirty / 100 * 98;
        answer = after(&policy, dirty, dirty / (MB / 1000), left);
        assert_int_not_equal(answer, POLICY_STOP);
        dirty = left;
    }
    assert_true(n >= POLICY_PATIENCE_ROUNDS);
    /* A tenth less each time is slow, but it ends. */
    policy_init(&policy, 100 * NS_PER_MS, 0, 0);
    (void)after(&policy, 128 * MB, 128000, dirty = 24 * MB);
    for (unsigned i = 0; i < 30; i++, dirty = dirty / 10 * 9)
        assert_int_not_equal(after(&policy, dirty, dirty / (MB / 1000), dirty / 10 * 9), POLICY_GIVE_UP);
}

static void it_is_let_go_when_it_has_become_calm(void **state)
{
    (void)state;
    struct policy policy;
    policy_init(&policy, 50 * NS_PER_MS, 0, 0);
    assert_int_equal(after(&policy, 10 * GB, 10000, 10 * GB), POLICY_THROTTLE);
    assert_int_equal(after(&policy, 10 * GB, 10000, 900 * MB), POLICY_THROTTLE);
    assert_int_equal(after(&policy, 900 * MB, 900, 80 * MB), POLICY_CONTINUE);
    assert_int_equal(policy.throttle_bytes_s, 0);
    /* And held up again when it must be. */
    assert_int_equal(after(&policy, 80 * MB, 80, 300 * MB), POLICY_THROTTLE);
}

static void writers_wait_for_their_slice(void **state)
{
    (void)state;
    struct throttle throttle;
    throttle_init(&throttle, 0, 2);
    uint64_t now = NS_PER_S;
    /* Off: nobody waits. */
    assert_int_equal(throttle_reserve(&throttle, now), now);
    /* 8 pages a millisecond: 125 us each, six in a slice of 750 us. */
    throttle_set_rate(&throttle, 8000ull * 4096);
    uint64_t slice = throttle.slice_ns;
    assert_int_equal(slice, 750000);
    now -= now % slice;
    /* One slice was saved, and one begins. */
    for (unsigned i = 0; i < 12; i++)
        assert_int_equal(throttle_reserve(&throttle, now), now);
    assert_int_equal(throttle_reserve(&throttle, now), now + slice);
    /* Others wait for who may not be held up. */
    for (unsigned i = 0; i < 5; i++)
        throttle_charge(&throttle, now);
    assert_int_equal(throttle_reserve(&throttle, now), now + 2 * slice);
    throttle_set_rate(&throttle, 0);
    assert_int_equal(throttle_reserve(&throttle, now), now);
}

static void the_rate_is_kept(void **state)
{
    (void)state;
    struct throttle throttle;
    throttle_init(&throttle, 0, 1);
    throttle_set_rate(&throttle, 50 * MB);
    uint64_t begin = NS_PER_S, now = begin;
    unsigned n_pages = 0;
    for (; now < begin + NS_PER_S; n_pages++)
        now = throttle_reserve(&throttle, now) + 1000; /* a writer that needs 1 us for a page */
    assert_in_range(n_pages, 50 * MB / 4096 - 10, 50 * MB / 4096 + 20);
}

static void nobody_waits_for_long(void **state)
{
    (void)state;
    struct throttle throttle;
    throttle_init(&throttle, 0, 1);
    throttle_set_rate(&throttle, 4096);
    uint64_t now = NS_PER_S;
    for (unsigned i = 0; i < 1000; i++)
        assert_in_range(throttle_reserve(&throttle, now), now, now + THROTTLE_WAIT_NS);
    /* What could not be waited for is forgiven, not kept. */
    now += 2 * THROTTLE_WAIT_NS + throttle.slice_ns;
    assert_int_equal(throttle_reserve(&throttle, now), now);
}

/* A rate that no wait can hold: each page still waits as long as it may. (It was every other page.) */
static void the_hardest_hold_is_one_page_a_wait(void **state)
{
    (void)state;
    for (unsigned n_vcpus = 1; n_vcpus <= 4; n_vcpus *= 4) {
        struct throttle throttle;
        uint64_t at[4], n_pages = 0;
        throttle_init(&throttle, 0, n_vcpus);
        throttle_set_rate(&throttle, MB / 10);
        for (unsigned i = 0; i < n_vcpus; i++)
            at[i] = NS_PER_S;
        for (;; n_pages++) {
            unsigned next = 0;
            for (unsigned i = 1; i < n_vcpus; i++)
                next = at[i] < at[next] ? i : next;
            if (at[next] >= 2 * NS_PER_S)
                break;
            at[next] = throttle_reserve(&throttle, at[next]) + 1000;
        }
        assert_in_range(n_pages, n_vcpus * (NS_PER_S / THROTTLE_WAIT_NS - 5),
                        n_vcpus * (NS_PER_S / THROTTLE_WAIT_NS + 5));
    }
}

static void stuns_stay_below_the_limit(void **state)
{
    (void)state;
    struct throttle throttle;
    throttle_init(&throttle, 10, 2);
    throttle_set_rate(&throttle, MB);
    uint64_t now = NS_PER_S, waited = 0;
    while (now < 2 * NS_PER_S) {
        uint64_t until = throttle_reserve(&throttle, now);
        waited += until - now;
        now = until + 1000;
    }
    /* A tenth of the time of two writers. */
    assert_in_range(waited, NS_PER_S / 5 - 50 * NS_PER_MS, NS_PER_S / 5);
}

static void waiters_go_in_order_and_all_of_a_page_at_once(void **state)
{
    (void)state;
    struct throttle throttle;
    struct throttle_waiter got;
    throttle_init(&throttle, 0, 1);
    assert_null(throttle_first(&throttle));
    for (uint64_t i = 0; i < THROTTLE_WAITERS_MAX; i++)
        assert_true(
            throttle_push(&throttle, &(struct throttle_waiter){.page = i / 2, .deadline_ns = 10 + i}));
    assert_false(throttle_push(&throttle, &(struct throttle_waiter){.page = 1}));
    assert_int_equal(throttle_first(&throttle)->deadline_ns, 10);
    assert_true(throttle_take(&throttle, 7, &got));
    assert_int_equal(got.deadline_ns, 24);
    assert_true(throttle_take(&throttle, 7, &got));
    assert_int_equal(got.deadline_ns, 25);
    assert_false(throttle_take(&throttle, 7, &got));
    /* A shorter wait goes before longer ones, whenever it began. */
    assert_true(throttle_push(&throttle, &(struct throttle_waiter){.page = 9999, .deadline_ns = 5}));
    assert_int_equal(throttle_first(&throttle)->page, 9999);
    uint64_t before = 0;
    unsigned n = 0;
    for (const struct throttle_waiter *first; (first = throttle_first(&throttle)); n++) {
        assert_true(first->deadline_ns >= before);
        before = first->deadline_ns;
        assert_true(throttle_take(&throttle, first->page, &got));
    }
    assert_int_equal(n, THROTTLE_WAITERS_MAX - 1);
}

static void chunks_with_stray_pages_stay_where_they_are(void **state)
{
    (void)state;
    struct chunks chunks;
    struct bitmap dirty, found;
    struct err err;
    uint64_t first;
    assert_int_equal(chunks_init(&chunks, 10 * 512 + 100, 512, &err), 0);
    assert_int_equal(bitmap_init(&dirty, 10 * 512 + 100, &err), 0);
    assert_int_equal(bitmap_init(&found, 11, &err), 0);
    bitmap_set_range(&dirty, 2 * 512, 2 * 512); /* chunks 2 and 3 */
    bitmap_set_range(&dirty, 10 * 512, 100);    /* the short one */
    bitmap_set(&dirty, 7 * 512 + 5);
    chunks_find_hot(&chunks, &dirty, &found);
    assert_int_equal(bitmap_count(&found), 3);
    assert_true(bitmap_has(&found, 2) && bitmap_has(&found, 3) && bitmap_has(&found, 10));
    bitmap_free_bits(&chunks.hot);
    chunks.hot = found;
    assert_int_equal(chunks_next_run(&chunks, false, 0, &first), 2 * 512);
    assert_int_equal(first, 0);
    assert_int_equal(chunks_next_run(&chunks, true, 0, &first), 2 * 512);
    assert_int_equal(first, 2 * 512);
    assert_int_equal(chunks_next_run(&chunks, false, 2 * 512, &first), 6 * 512);
    assert_int_equal(first, 4 * 512);
    assert_int_equal(chunks_next_run(&chunks, true, 4 * 512, &first), 100);
    assert_int_equal(first, 10 * 512);
    assert_int_equal(chunks_next_run(&chunks, false, 10 * 512, &first), 0);
    assert_int_equal(chunks_next_run(&chunks, true, 10 * 512 + 100, &first), 0);
    bitmap_free_bits(&dirty);
    chunks_clear(&chunks);
    /* Big RAM: longer chunks, not more. */
    assert_int_equal(chunks_init(&chunks, 512ull * CHUNKS_MAX * 5, 512, &err), 0);
    assert_int_equal(chunks.pages, 4096);
    chunks_clear(&chunks);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stops_when_the_rest_fits_the_goal_less_fixed_costs),
        cmocka_unit_test(runs_another_round_while_it_halves_the_rest),
        cmocka_unit_test(leaves_a_tenth_when_the_goal_is_below_the_fixed_cost),
        cmocka_unit_test(stops_at_once_when_nothing_is_dirty),
        cmocka_unit_test(a_tiny_round_does_not_unlearn_the_rate),
        cmocka_unit_test(a_long_way_is_no_slow_link),
        cmocka_unit_test(what_adds_little_to_a_long_switch_over_is_no_reason_to_fail),
        cmocka_unit_test(the_last_scan_is_part_of_the_downtime),
        cmocka_unit_test(gives_up_after_the_last_round),
        cmocka_unit_test(gives_up_when_nothing_improves_for_long),
        cmocka_unit_test(short_rounds_are_waited_for),
        cmocka_unit_test(a_guest_that_rewrites_all_at_once_is_held_up_after_one_round),
        cmocka_unit_test(a_small_working_set_on_a_fast_link_is_left_alone),
        cmocka_unit_test(a_guest_that_converges_by_itself_is_left_alone),
        cmocka_unit_test(one_short_round_that_was_delayed_is_no_reason),
        cmocka_unit_test(it_is_held_harder_while_it_does_not_help),
        cmocka_unit_test(a_hold_that_does_not_hold_is_given_up),
        cmocka_unit_test(it_is_let_go_when_it_has_become_calm),
        cmocka_unit_test(writers_wait_for_their_slice),
        cmocka_unit_test(the_rate_is_kept),
        cmocka_unit_test(nobody_waits_for_long),
        cmocka_unit_test(the_hardest_hold_is_one_page_a_wait),
        cmocka_unit_test(stuns_stay_below_the_limit),
        cmocka_unit_test(waiters_go_in_order_and_all_of_a_page_at_once),
        cmocka_unit_test(chunks_with_stray_pages_stay_where_they_are),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
