/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/fdio.h"

/* What cannot be replaced is a folder here. */
static void a_replacement_that_failed_leaves_nothing_behind(void **state)
{
    (void)state;
    char folder[] = "/tmp/test-fdio-XXXXXX", temporary[64];
    struct err err;
    struct stat found;
    assert_non_null(mkdtemp(folder));
    (void)snprintf(temporary, sizeof temporary, "%s.new", folder);
    assert_int_equal(fdio_replace_file(folder, "text", 4, 0600, &err), -1);
    assert_string_equal(err.id, "rename-failed");
    int left = lstat(temporary, &found);
    (void)unlink(temporary);
    assert_int_equal(rmdir(folder), 0);
    assert_int_equal(left, -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_replacement_that_failed_leaves_nothing_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
