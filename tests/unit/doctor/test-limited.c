/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <glib.h>
#include <string.h>
#include <unistd.h>

#include "doctor/limited.h"

struct answer {
    int number;
};

static void add_one(void *answer)
{
    ((struct answer *)answer)->number++;
}

static void never_end(void *answer)
{
    (void)answer;
    for (;;)
        (void)pause();
}

static void die(void *answer)
{
    (void)answer;
    _exit(3);
}

static void a_child_answers(void **state)
{
    struct answer answer = {41};
    (void)state;
    assert_int_equal(limited_ask(add_one, &answer, sizeof answer, 60000, NULL), 0);
    assert_int_equal(answer.number, 42);
}

static void one_that_hangs_is_left_behind(void **state)
{
    struct answer answer = {41};
    struct err err = {0};
    (void)state;
    assert_int_equal(limited_ask(never_end, &answer, sizeof answer, 100, &err), -1);
    assert_int_equal(err.code, ERR_TIMEOUT);
    assert_int_equal(answer.number, 41);
    assert_int_equal(limited_ask(die, &answer, sizeof answer, 60000, &err), -1);
    assert_int_equal(err.code, ERR_INTERNAL);
}

static void a_program_says_what_it_found_or_why_not(void **state)
{
    g_autofree char *output = NULL, *none = NULL;
    struct err err = {0};
    (void)state;
    assert_int_equal(limited_run((const char *const[]){"echo", "yes", NULL}, 60000, &output, &err), 0);
    assert_string_equal(output, "yes\n");
    assert_int_equal(limited_run((const char *const[]){"ls", "/nowhere", NULL}, 60000, &none, &err), -1);
    assert_int_equal(err.code, ERR_REFUSED);
    assert_non_null(strstr(err.cause, "/nowhere"));
    assert_int_equal(limited_run((const char *const[]){"no-such-program", NULL}, 60000, &none, &err), -1);
    assert_int_equal(err.code, ERR_NOT_FOUND);
    assert_int_equal(limited_run((const char *const[]){"sleep", "1000", NULL}, 100, &none, &err), -1);
    assert_int_equal(err.code, ERR_TIMEOUT);
    assert_null(none);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_child_answers),
        cmocka_unit_test(one_that_hangs_is_left_behind),
        cmocka_unit_test(a_program_says_what_it_found_or_why_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
