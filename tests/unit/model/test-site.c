/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "model/site.h"

static void a_site_crosses_hosts_whole(void **state)
{
    (void)state;
    struct move_site site = {
        .n_disks = 2,
        .disks = {{"/d/a", "file", 1ull << 60, -5, 0, ""}, {"/dev/b", "block", 0, 0, 4096, "naa.5000"}},
        .nvram = {"/d/v", "file", 9, 3, 0, ""},
        .firmware_bytes = 3653632,
        .cpu_features = "aes avx2"};
    struct move_site read;
    struct err err = {0};
    JsonNode *node = json_node_new(JSON_NODE_OBJECT);
    json_node_take_object(node, move_site_to_json(&site));
    assert_int_equal(move_site_from_json(node, &read, &err), 0);
    json_node_unref(node);
    assert_int_equal(read.n_disks, 2);
    assert_string_equal(read.disks[0].path, "/d/a");
    assert_string_equal(read.disks[0].kind, "file");
    assert_true(read.disks[0].inode == 1ull << 60 && read.disks[0].born_ns == -5);
    assert_true(read.disks[1].size == 4096);
    assert_string_equal(read.disks[1].serial, "naa.5000");
    assert_string_equal(read.nvram.path, "/d/v");
    assert_true(read.nvram.inode == 9 && read.firmware_bytes == 3653632);
    assert_string_equal(read.cpu_features, "aes avx2");
}

static void an_agent_that_says_nothing_has_an_empty_site(void **state)
{
    (void)state;
    struct move_site read = {.n_disks = 3, .cpu_features = "x"};
    struct err err = {0};
    assert_int_equal(move_site_from_json(NULL, &read, &err), 0);
    assert_int_equal(read.n_disks, 0);
    assert_string_equal(read.cpu_features, "");
    g_autoptr(JsonNode) bad = json_from_string("[1]", NULL);
    assert_int_equal(move_site_from_json(bad, &read, &err), -1);
    assert_string_equal(err.id, "agent-answer");
}

static void features_are_compared_by_whole_names(void **state)
{
    (void)state;
    char found[CPU_FEATURES_MAX];
    cpu_features_missing("avx avx2 sse", "avx2 sse sse2", found);
    assert_string_equal(found, "avx");
    cpu_features_missing("sse", "sse sse2", found);
    assert_string_equal(found, "");
    cpu_features_missing("avx sse", "", found);
    assert_string_equal(found, "avx sse");
    cpu_features_common("avx avx2 sse", "avx2 sse sse2", found);
    assert_string_equal(found, "avx2 sse");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_site_crosses_hosts_whole),
        cmocka_unit_test(an_agent_that_says_nothing_has_an_empty_site),
        cmocka_unit_test(features_are_compared_by_whole_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
