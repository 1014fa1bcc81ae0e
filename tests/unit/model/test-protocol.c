/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "model/protocol.h"

#include <string.h>

static void neighbours_fit_and_others_are_told_who_must_upgrade(void **state)
{
    (void)state;
    struct err err = {0};
    assert_int_equal(protocol_check(5, 5, "h1", &err), 0);
    assert_int_equal(protocol_check(5, 4, "h1", &err), 0);
    assert_int_equal(protocol_check(4, 5, "h1", &err), 0);
    assert_false(err_is_set(&err));
    assert_int_equal(protocol_check(5, 3, "h1", &err), -1);
    assert_string_equal(err.id, "protocol-mismatch");
    assert_non_null(strstr(err.message, "version 3"));
    assert_non_null(strstr(err.message, "version 5"));
    assert_non_null(strstr(err.fix, "the agent on host 'h1'"));
    assert_int_equal(protocol_check(3, 5, "h1", &err), -1);
    assert_string_equal(err.fix, "upgrade the manager");
    assert_string_equal(err_arg_find(&err, "agent_protocol"), "5");
    assert_string_equal(err_arg_find(&err, "manager_protocol"), "3");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(neighbours_fit_and_others_are_told_who_must_upgrade),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
