/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "engine/rate.h"

#define MB 1000000ull
#define WINDOW_NS (200 * NS_PER_MS)
#define RUN_NS (2 * NS_PER_S)
#define TAKEN_MAX (1u << 20)

static void what_was_not_used_is_worth_five_milliseconds(void **state)
{
    (void)state;
    uint64_t next = 0, now = NS_PER_S;
    assert_int_equal(rate_take(100 * MB, 250000, now, &next), 0);
    assert_int_equal(rate_take(100 * MB, 250000, now, &next), 0);
    assert_int_equal(rate_take(100 * MB, 250000, now, &next), 0);
    assert_int_equal(rate_take(100 * MB, 250000, now, &next), NS_PER_MS * 5 / 2);
    /* Who comes too early has taken nothing. */
    assert_int_equal(rate_take(100 * MB, 250000, now, &next), NS_PER_MS * 5 / 2);
    assert_int_equal(rate_take(100 * MB, 250000, now + NS_PER_MS * 5 / 2, &next), 0);
}

static void a_piece_is_two_milliseconds_within_bounds(void **state)
{
    (void)state;
    assert_int_equal(rate_piece(1 * MB), RATE_PIECE_MIN_BYTES);
    assert_int_equal(rate_piece(5 * MB), 10000);
    assert_int_equal(rate_piece(100 * MB), 200000);
    assert_int_equal(rate_piece(1000000 * MB), RATE_PIECE_MAX_BYTES);
}

/* A sender as link.c and rate.c make one, with a clock of our own: the thread whose turn it is sleeps for as
 * long as it was told and then late_ns() longer. */
struct run {
    uint64_t bytes_s, seed;
    uint64_t late_max_ns;
    bool pauses; /* now and then it has nothing to send for a while */
    uint32_t n_taken;
    struct taken {
        uint64_t at_ns, bytes;
    } taken[TAKEN_MAX];
};
static struct run run;

static uint64_t random_below(uint64_t limit)
{
    run.seed = run.seed * 6364136223846793005ull + 1442695040888963407ull;
    return limit ? (run.seed >> 33) % limit : 0;
}

static void send_for_two_seconds(void)
{
    uint64_t next = 0, now = 77 * NS_PER_S, end = now + RUN_NS, early;
    run.n_taken = 0;
    while (now < end && run.n_taken < TAKEN_MAX) {
        uint64_t bytes = rate_piece(run.bytes_s);
        /* The end of a record is a smaller piece. */
        if (random_below(16) == 0)
            bytes = 1 + random_below(bytes);
        while ((early = rate_take(run.bytes_s, bytes, now, &next)))
            now += early + random_below(run.late_max_ns);
        run.taken[run.n_taken++] = (struct taken){now, bytes};
        if (run.pauses && random_below(200) == 0)
            now += random_below(300 * NS_PER_MS);
    }
    assert_true(now >= end);
}

/* The most and, but for what begins before the first piece or ends after the last, the least of any 0.2 s. */
static void measure_windows(uint64_t *ret_most, uint64_t *ret_least)
{
    uint64_t sum = 0, most = 0, least = UINT64_MAX;
    uint32_t end = 0;
    for (uint32_t begin = 0; begin < run.n_taken; begin++) {
        while (end < run.n_taken && run.taken[end].at_ns - run.taken[begin].at_ns < WINDOW_NS)
            sum += run.taken[end++].bytes;
        most = sum > most ? sum : most;
        if (end < run.n_taken && sum < least)
            least = sum;
        sum -= run.taken[begin].bytes;
    }
    *ret_most = most;
    *ret_least = least;
}

static void any_fifth_of_a_second_keeps_within_five_percent(void **state)
{
    (void)state;
    const uint64_t caps[] = {1 * MB, 5 * MB, 20 * MB, 117 * MB, 1000 * MB};
    const uint64_t late_ns[] = {0, 100000, 20 * NS_PER_MS};
    for (unsigned i = 0; i < sizeof caps / sizeof caps[0]; i++)
        for (unsigned j = 0; j < 6; j++) {
            run.bytes_s = caps[i];
            run.seed = i * 10 + j;
            run.late_max_ns = late_ns[j % 3];
            run.pauses = j >= 3;
            send_for_two_seconds();
            uint64_t most, least, share = caps[i] * WINDOW_NS / NS_PER_S;
            measure_windows(&most, &least);
            if (most * 100 > share * 105)
                fail_msg("%llu bytes in 0.2 s at %llu MB/s", (unsigned long long)most,
                         (unsigned long long)(caps[i] / MB));
            /* Wake-ups that are late by no more than the bucket holds lose nothing. */
            if (!run.pauses && run.late_max_ns < RATE_BURST_NS && least * 100 < share * 95)
                fail_msg("only %llu bytes in 0.2 s at %llu MB/s", (unsigned long long)least,
                         (unsigned long long)(caps[i] / MB));
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_not_used_is_worth_five_milliseconds),
        cmocka_unit_test(a_piece_is_two_milliseconds_within_bounds),
        cmocka_unit_test(any_fifth_of_a_second_keeps_within_five_percent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
