/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "model/check_table.h"

#include <string.h>

static void assert_pattern(const char *id, const char *pattern)
{
    for (const char *open = pattern; (open = strchr(open, '{')); open++) {
        size_t length = strspn(open + 1, "abcdefghijklmnopqrstuvwxyz_");
        if (!length || open[1 + length] != '}' || length >= sizeof((struct err_arg *)NULL)->name)
            fail_msg("%s has a broken argument in: %s", id, pattern);
    }
}

static void each_check_has_id_words_and_cure(void **state)
{
    (void)state;
    for (unsigned i = 0; i < CHECK_COUNT; i++) {
        const struct check_kind *kind = check_kind((enum check)i);
        if (!kind->id || !kind->message || !kind->fix || kind->code == ERR_NONE)
            fail_msg("check %u is not complete", i);
        assert_pattern(kind->id, kind->message);
        assert_pattern(kind->id, kind->fix);
        if (kind->cause)
            assert_pattern(kind->id, kind->cause);
    }
}

/* So that whoever knows the id knows the rest. */
static void checks_of_one_id_are_of_one_kind(void **state)
{
    (void)state;
    for (unsigned i = 0; i < CHECK_COUNT; i++) {
        const struct check_kind *kind = check_kind((enum check)i);
        const struct check_kind *first = check_kind_find(kind->id);
        assert_non_null(first);
        assert_string_equal(kind->message, first->message);
        assert_int_equal(kind->severity, first->severity);
        assert_int_equal(kind->phase, first->phase);
        assert_true(kind->side == first->side || !strcmp(kind->side, first->side));
    }
    assert_null(check_kind_find("no-such-check"));
}

static void arguments_are_put_into_the_words(void **state)
{
    (void)state;
    struct err err = {0};
    assert_int_equal(check_say(&err, CHECK_MEMORY_SHORT,
                               CHECK_ARGS({"host", "h2"}, {"vm", "web"}, {"needed_mib", .number = 512},
                                          {"overhead_mib", .number = 60}, {"free_mib", .number = 12},
                                          {"short_mib", .number = 500})),
                     -1);
    assert_int_equal(err.code, ERR_REFUSED);
    assert_string_equal(err.id, "memory-short");
    assert_string_equal(err.message, "host 'h2' is 500 MiB short of memory for VM 'web'");
    assert_ptr_equal(strstr(err.cause, "the VM needs 512 MiB, 60 of them for its QEMU; 12 MiB are"),
                     err.cause);
    assert_string_equal(err_arg_find(&err, "short_mib"), "500");
    assert_int_equal(err.n_args, 6);
    assert_int_equal(check_say(NULL, CHECK_MEMORY_SHORT, CHECK_ARGS({"host", "h2"})), -1);
}

static void a_cause_that_nobody_knows_is_left_out(void **state)
{
    (void)state;
    struct err err = {0};
    (void)check_say(&err, CHECK_HOST_DISCONNECTED, CHECK_ARGS({"host", "h2"}, {"problem", ""}));
    assert_string_equal(err.cause, "");
    assert_string_equal(err.message, "host 'h2' does not answer");
    (void)check_say(&err, CHECK_HOST_DISCONNECTED,
                    CHECK_ARGS({"host", "h2"}, {"problem", "Connection refused"}));
    assert_string_equal(err.cause, "Connection refused");
}

static void long_arguments_are_cut_and_not_more(void **state)
{
    (void)state;
    struct err err = {0};
    char path[2 * ERR_TEXT_MAX];
    memset(path, 'x', sizeof path);
    path[sizeof path - 1] = '\0';
    (void)check_say(&err, CHECK_DISK_MISSING, CHECK_ARGS({"path", path}, {"vm", "web"}, {"host", "h2"}));
    assert_int_equal(strlen(err.message), ERR_TEXT_MAX - 1);
    assert_string_equal(err_arg_find(&err, "vm"), "web");
}

static void a_finding_of_the_table_is_placed_by_it(void **state)
{
    (void)state;
    struct findings found = {0};
    (void)findings_say(&found, CHECK_MIGRATION_MTU_DIFFERS, CHECK_ARGS({"source", "h1"}));
    (void)findings_say(&found, CHECK_HOST_DISCONNECTED, CHECK_ARGS({"host", "h1"}));
    findings_place(&found, move_phase_name(PHASE_SOURCE_CHECK), "source");
    assert_int_equal(found.list[0].severity, FINDING_WARNING);
    assert_string_equal(found.list[0].err.side, "destination");
    assert_string_equal(found.list[0].err.phase, move_phase_name(PHASE_DESTINATION_CHECK));
    assert_int_equal(found.list[1].severity, FINDING_ERROR);
    assert_string_equal(found.list[1].err.side, "source");
    assert_string_equal(found.list[1].err.phase, move_phase_name(PHASE_SOURCE_CHECK));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_check_has_id_words_and_cure),
        cmocka_unit_test(checks_of_one_id_are_of_one_kind),
        cmocka_unit_test(arguments_are_put_into_the_words),
        cmocka_unit_test(a_cause_that_nobody_knows_is_left_out),
        cmocka_unit_test(long_arguments_are_cut_and_not_more),
        cmocka_unit_test(a_finding_of_the_table_is_placed_by_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
