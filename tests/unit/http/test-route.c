/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "http/server.h"

static void a_path_matches_segment_by_segment(void **state)
{
    (void)state;
    static const struct {
        const char *pattern;
        const char *path;
        bool matches;
        const char *name; /* what {name} must stand for */
    } cases[] = {
        {"/v1/vms", "/v1/vms", true, NULL},
        {"/v1/vms", "/v1/vms/", false, NULL},
        {"/v1/vms", "/v1/vmsx", false, NULL},
        {"/v1/vms", "/v1", false, NULL},
        {"/", "/", true, NULL},
        {"/v1/vms/{name}/start", "/v1/vms/a%20b/start", true, "a b"},
        {"/v1/vms/{name}/start", "/v1/vms/a%2Fb/start", true, "a/b"},
        {"/v1/vms/{name}/start", "/v1/vms//start", false, NULL},
        {"/v1/vms/{name}/start", "/v1/vms/a/stop", false, NULL},
        {"/v1/vms/{name}", "/v1/vms/a%00b", false, NULL},
        {"/v1/vms/{name}", "/v1/vms/a%zz", false, NULL},
        {"/v1/vms/{name}", "/v1/vms/..", true, ".."},
        {"/v1/vms/{name}", "*", false, NULL},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GHashTable) params = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
        if (route_matches(cases[i].pattern, cases[i].path, params) != cases[i].matches)
            fail_msg("%s and %s", cases[i].pattern, cases[i].path);
        if (cases[i].name)
            assert_string_equal(g_hash_table_lookup(params, "name"), cases[i].name);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_path_matches_segment_by_segment)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
