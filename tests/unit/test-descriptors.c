/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/descriptors.h"

/* A limit above the first `n_free` numbers that are no descriptors. */
static void leave(unsigned n_free)
{
    struct rlimit limit;
    int number = 0;
    for (unsigned n = 0; n <= n_free; number++)
        n += fcntl(number, F_GETFD) < 0;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = (rlim_t)number - 1;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

static void assert_left_from(unsigned n_least)
{
    for (unsigned n = 0; n < n_least + 3; n++) {
        leave(n);
        assert_int_equal(descriptors_are_left(), n >= n_least);
    }
}

static void few_are_kept_for_what_runs(void **state)
{
    (void)state;
    assert_left_from(DESCRIPTORS_KEPT + 1);
    /* Gaps count, and there may be many before them. */
    int first = dup(0), second = dup(0), all[300];
    for (unsigned i = 0; i < sizeof all / sizeof *all; i++) {
        leave(1);
        all[i] = dup(0);
    }
    (void)close(first);
    (void)close(second);
    assert_left_from(DESCRIPTORS_KEPT + 1);
    for (unsigned i = 0; i < sizeof all / sizeof *all; i++)
        (void)close(all[i]);
}

static void looking_opens_none(void **state)
{
    (void)state;
    leave(0);
    assert_false(descriptors_are_left());
    assert_int_equal(dup(0), -1);
    leave(1);
    assert_false(descriptors_are_left());
    int last = dup(0);
    assert_true(last >= 0);
    (void)close(last);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(few_are_kept_for_what_runs),
        cmocka_unit_test(looking_opens_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
