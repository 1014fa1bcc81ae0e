/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/bitmap.h"
#include "base/checked.h"

static void runs_cross_words_and_end_at_the_limit(void **state)
{
    (void)state;
    struct bitmap bitmap = {0};
    uint64_t first;
    assert_int_equal(bitmap_init(&bitmap, 200, NULL), 0);
    assert_int_equal(bitmap_next_run(&bitmap, 0, 200, &first), 0);
    bitmap_set_range(&bitmap, 60, 80);
    bitmap_set(&bitmap, 199);
    assert_int_equal(bitmap_count(&bitmap), 81);
    assert_int_equal(bitmap_next_run(&bitmap, 0, 200, &first), 80);
    assert_int_equal(first, 60);
    assert_int_equal(bitmap_next_run(&bitmap, 70, 100, &first), 30);
    assert_int_equal(first, 70);
    assert_int_equal(bitmap_next_run(&bitmap, 140, 200, &first), 1);
    assert_int_equal(first, 199);
    assert_int_equal(bitmap_next_run(&bitmap, 140, 199, &first), 0);
    bitmap_clear_range(&bitmap, 64, 64);
    assert_int_equal(bitmap_count(&bitmap), 81 - 64);
    assert_false(bitmap_has(&bitmap, 64));
    assert_true(bitmap_has(&bitmap, 63));
    assert_true(bitmap_has(&bitmap, 128));
    bitmap_free_bits(&bitmap);
}

static void random_ranges_match_a_plain_array(void **state)
{
    (void)state;
    enum { N = 1000 };
    unsigned char plain[N] = {0};
    struct bitmap bitmap = {0};
    srand(7);
    assert_int_equal(bitmap_init(&bitmap, N, NULL), 0);
    for (int turn = 0; turn < 3000; turn++) {
        unsigned first = (unsigned)rand() % N, count = (unsigned)rand() % (N - first + 1), set = rand() % 2;
        for (unsigned i = 0; i < count; i++)
            plain[first + i] = (unsigned char)set;
        if (set)
            bitmap_set_range(&bitmap, first, count);
        else
            bitmap_clear_range(&bitmap, first, count);
        uint64_t from = (uint64_t)rand() % N, got, length = bitmap_next_run(&bitmap, from, N, &got);
        uint64_t expected = from;
        while (expected < N && !plain[expected])
            expected++;
        assert_int_equal(got, expected);
        uint64_t end = expected;
        while (end < N && plain[end])
            end++;
        assert_int_equal(length, end - expected);
    }
    bitmap_free_bits(&bitmap);
}

static void checked_arithmetic_never_wraps(void **state)
{
    (void)state;
    uint64_t result;
    assert_true(checked_add(1, 2, &result));
    assert_int_equal(result, 3);
    assert_false(checked_add(UINT64_MAX, 1, &result));
    assert_false(checked_mul(1ull << 33, 1ull << 31, &result));
    assert_true(checked_range(10, 0, 10));
    assert_false(checked_range(11, 0, 10));
    assert_true(checked_range(4, 6, 10));
    assert_false(checked_range(4, 7, 10));
    assert_false(checked_range(4, UINT64_MAX, 10));
}

static void sets_of_pages_are_added_kept_and_removed(void **state)
{
    (void)state;
    struct bitmap bitmap = {0}, others = {0};
    assert_int_equal(bitmap_init(&bitmap, 200, NULL), 0);
    assert_int_equal(bitmap_init(&others, 200, NULL), 0);
    bitmap_set_range(&bitmap, 10, 100);
    bitmap_set_range(&others, 60, 130);
    bitmap_add(&bitmap, &others);
    assert_int_equal(bitmap_count(&bitmap), 180);
    bitmap_keep(&bitmap, &others);
    assert_int_equal(bitmap_count(&bitmap), 130);
    bitmap_clear_range(&others, 100, 90);
    bitmap_remove(&bitmap, &others);
    assert_int_equal(bitmap_count(&bitmap), 90);
    assert_false(bitmap_has(&bitmap, 99));
    assert_true(bitmap_has(&bitmap, 189));
    bitmap_clear(&bitmap);
    assert_int_equal(bitmap_count(&bitmap), 0);
    bitmap_free_bits(&bitmap);
    bitmap_free_bits(&others);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(runs_cross_words_and_end_at_the_limit),
        cmocka_unit_test(random_ranges_match_a_plain_array),
        cmocka_unit_test(checked_arithmetic_never_wraps),
        cmocka_unit_test(sets_of_pages_are_added_kept_and_removed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
