/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "manager/manager.h"

#include <glib/gstdio.h>
#include <string.h>

static void refused(const char *text, const char *words)
{
    g_autofree char *folder = g_dir_make_tmp("manager-config-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(folder, "test.conf", NULL);
    struct manager_config config;
    struct err err = {0};
    assert_true(g_file_set_contents(path, text, -1, NULL));
    assert_int_equal(manager_config_read(path, &config, &err), -1);
    assert_string_equal(err.id, "bad-configuration");
    if (!strstr(err.message, words) || !strstr(err.message, path))
        fail_msg("'%s' or the file is not in: %s", words, err.message);
    (void)g_unlink(path);
    (void)g_rmdir(folder);
    manager_config_clear(&config);
}

static void an_unknown_group_or_key_is_named(void **state)
{
    (void)state;
    refused("[manager]\nport=1\n[manger]\nstate=/a\n", "[manger] state: unknown group");
    refused("[manager]\nport=1\n[empty]\n", "[empty]: unknown group");
    refused("[manager]\nprot=1\n", "[manager] prot");
    refused("[deadlines]\nshell_s=1\n", "[deadlines] shell_s");
}

static void a_deadline_has_a_range(void **state)
{
    (void)state;
    refused("[deadlines]\ninventory_s=0\n", "[deadlines] inventory_s must be");
    refused("[deadlines]\ncopy_stalled_s=3601\n", "[deadlines] copy_stalled_s must be");
    refused("[deadlines]\nsource_check_s=soon\n", "[deadlines] source_check_s must be");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(an_unknown_group_or_key_is_named),
                                       cmocka_unit_test(a_deadline_has_a_range)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
