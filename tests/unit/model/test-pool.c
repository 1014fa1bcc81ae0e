/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "model/move.h"
#include "model/pool.h"

static const uint64_t plenty[POOL_RESOURCES] = {POOL_UNLIMITED, POOL_UNLIMITED};

static int update(struct pool_spec *spec, const char *text, struct err *err)
{
    JsonObject *object = NULL;
    assert_int_equal(model_parse(text, -1, &object, NULL), 0);
    err_clear(err);
    int result = pool_spec_update(spec, object, err);
    json_object_unref(object);
    return result;
}

static struct pool pool(const char *path, uint32_t reservation_mib, uint32_t limit_mib)
{
    struct pool pool = {.spec = {.memory_reservation_mib = reservation_mib, .memory_limit_mib = limit_mib}};
    (void)g_strlcpy(pool.spec.path, path, sizeof pool.spec.path);
    return pool;
}

static void a_pool_survives_its_json_form(void **state)
{
    (void)state;
    struct pool_spec spec, back;
    struct err err;
    pool_spec_init(&spec);
    pool_spec_init(&back);
    assert_int_equal(
        update(&spec,
               "{\"path\":\"prod/db\",\"memory_reservation_mib\":512,\"memory_limit_mib\":1024,"
               "\"cpu_reservation_percent\":50,\"cpu_limit_percent\":250,\"cpu_shares\":\"high\"}",
               &err),
        0);
    JsonObject *object = pool_spec_to_json(&spec);
    g_autofree char *text = model_print(object, false);
    json_object_unref(object);
    assert_int_equal(update(&back, text, &err), 0);
    assert_memory_equal(&spec, &back, sizeof spec);
    /* What is left out stays. */
    assert_int_equal(update(&back, "{\"memory_limit_mib\":0}", &err), 0);
    assert_int_equal(back.memory_reservation_mib, 512);
    assert_true(pool_limit(&back, POOL_MEMORY) == POOL_UNLIMITED);
    assert_int_equal(pool_limit(&back, POOL_CPU), 250);
}

static void bad_input_is_refused_by_field(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
    } rows[] = {
        {"{}", "path must be at most 8 names"},
        {"{\"path\":\"/prod\"}", "path must be"},
        {"{\"path\":\"prod/\"}", "path must be"},
        {"{\"path\":\"a//b\"}", "path must be"},
        {"{\"path\":\"../a\"}", "path must be"},
        {"{\"path\":\"a b\"}", "path must be"},
        {"{\"path\":\"1/2/3/4/5/6/7/8/9\"}", "path must be"},
        {"{\"path\":\"a\",\"memory_limit_mib\":-1}", "memory_limit_mib must be a whole number from 0"},
        {"{\"path\":\"a\",\"memory_limit_mib\":\"1\"}", "memory_limit_mib must be a whole number from 0"},
        {"{\"path\":\"a\",\"cpu_limit_percent\":1.5}", "cpu_limit_percent must be a whole number from 0"},
        {"{\"path\":\"a\",\"cpu_shares\":\"lots\"}", "cpu_shares must be \"low\""},
        {"{\"path\":\"a\",\"cpu_shares\":\"0\"}", "cpu_shares must be \"low\""},
        {"{\"path\":\"a\",\"cpu_shares\":7}", "cpu_shares must be a string"},
        {"{\"path\":\"a\",\"limit\":7}", "there is no field \"limit\""},
        {"{\"path\":\"a\",\"memory_reservation_mib\":9,\"memory_limit_mib\":8}",
         "memory_reservation_mib (9) must not be more than memory_limit_mib (8)"},
        {"{\"path\":\"a\",\"cpu_reservation_percent\":9,\"cpu_limit_percent\":8}",
         "cpu_reservation_percent (9) must not be more than cpu_limit_percent (8)"},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        struct pool_spec spec;
        struct err err;
        pool_spec_init(&spec);
        assert_int_equal(update(&spec, rows[i].text, &err), -1);
        assert_int_equal(err.code, ERR_BAD_REQUEST);
        if (!strstr(err.message, rows[i].message))
            fail_msg("%s: %s", rows[i].text, err.message);
    }
    assert_true(pool_path_is_valid("1/2/3/4/5/6/7/8"));
}

static void shares_are_one_to_two_to_four_or_a_number(void **state)
{
    (void)state;
    struct pool_spec spec;
    struct err err;
    pool_spec_init(&spec);
    assert_int_equal(pool_shares(&spec), 4000);
    assert_int_equal(update(&spec, "{\"path\":\"a\",\"cpu_shares\":\"low\"}", &err), 0);
    assert_int_equal(pool_shares(&spec), 2000);
    assert_int_equal(update(&spec, "{\"cpu_shares\":\"high\"}", &err), 0);
    assert_int_equal(pool_shares(&spec), 8000);
    assert_int_equal(update(&spec, "{\"cpu_shares\":\"123\"}", &err), 0);
    assert_int_equal(pool_shares(&spec), 123);
}

static void paths_know_who_is_within_whom(void **state)
{
    (void)state;
    char parent[POOL_PATH_MAX];
    assert_true(pool_path_is_within("prod/db", "prod"));
    assert_true(pool_path_is_within("prod", "prod"));
    assert_true(pool_path_is_within("prod", ""));
    assert_false(pool_path_is_within("prod-2", "prod"));
    assert_false(pool_path_is_within("prod", "prod/db"));
    pool_path_parent("prod/db/x", parent);
    assert_string_equal(parent, "prod/db");
    pool_path_parent("prod", parent);
    assert_string_equal(parent, "");
    assert_string_equal(pool_path_or_root("/"), "");
    assert_string_equal(pool_path_or_root("a"), "a");
    /* '-' sorts before '/': the parent is still found, and stands first. */
    struct pool pools[] = {pool("prod", 0, 0), pool("prod-2", 0, 0), pool("prod/db", 0, 0)};
    struct pool_tree tree = {.pools = pools, .n_pools = 3};
    assert_int_equal(pool_tree_find(&tree, "prod/db"), 2);
    assert_int_equal(pool_tree_parent(&tree, 2), 0);
    assert_int_equal(pool_tree_parent(&tree, 1), POOL_ROOT);
    assert_int_equal(pool_tree_nearest(&tree, "prod/db/gone"), 2);
    assert_int_equal(pool_tree_nearest(&tree, "gone/too"), POOL_ROOT);
}

static void what_children_reserve_must_fit_into_the_parent(void **state)
{
    (void)state;
    struct err err = {0};
    struct pool pools[] = {pool("a", 100, 200), pool("a/b", 60, 0), pool("a/c", 40, 0),
                           pool("d", 0, 50),    pool("d/e", 0, 0),  pool("d/e/f", 50, 0)};
    struct pool_tree tree = {.pools = pools, .n_pools = 6};
    const uint64_t enough[POOL_RESOURCES] = {150, 0};
    const uint64_t too_little[POOL_RESOURCES] = {149, 0};
    assert_int_equal(pool_tree_check(&tree, enough, &err), 0);
    assert_int_equal(pool_tree_check(&tree, too_little, &err), -1);
    assert_string_equal(err.id, "pool-reservations-exceed");
    assert_string_equal(err_arg_find(&err, "excess"), "1");
    /* The parent's own reservation binds before its limit. */
    pools[2].spec.memory_reservation_mib = 41;
    assert_int_equal(pool_tree_check(&tree, plenty, &err), -1);
    assert_string_equal(err_arg_find(&err, "pool"), "a");
    pools[2].spec.memory_reservation_mib = 40;
    /* A limit binds what is far below it. */
    pools[5].spec.memory_reservation_mib = 51;
    assert_int_equal(pool_tree_check(&tree, plenty, &err), -1);
    assert_string_equal(err_arg_find(&err, "pool"), "d");
    pools[5].spec.memory_reservation_mib = 50;
    assert_int_equal(pool_tree_check(&tree, plenty, &err), 0);
    /* No pool hangs in the air. */
    struct pool orphan[] = {pool("x/y", 0, 0)};
    struct pool_tree lost = {.pools = orphan, .n_pools = 1};
    assert_int_equal(pool_tree_check(&lost, plenty, &err), -1);
    assert_string_equal(err.id, "pool-not-found");
}

static void sums_are_of_the_whole_subtree_and_room_of_all_above(void **state)
{
    (void)state;
    struct pool pools[] = {pool("a", 0, 1000), pool("a/b", 300, 0), pool("a/c", 0, 500)};
    struct pool_tree tree = {.pools = pools, .n_pools = 3};
    pools[0].sums[POOL_MEMORY].own = 100;
    pools[1].sums[POOL_MEMORY].own = 200;
    pools[2].sums[POOL_MEMORY].own = 250;
    tree.root[POOL_MEMORY].own = 7;
    pool_tree_sum(&tree, plenty);
    assert_int_equal(pools[0].sums[POOL_MEMORY].used, 550);
    assert_int_equal(tree.root[POOL_MEMORY].used, 557);
    /* 100 of a/b's 300 are kept free for it: others in `a` have 1000 - 550 - 100 left, it has those besides.
     */
    assert_int_equal(pools[0].sums[POOL_MEMORY].room, 350);
    assert_int_equal(pools[1].sums[POOL_MEMORY].room, 450);
    assert_int_equal(pools[1].sums[POOL_MEMORY].bounded_by, 0);
    assert_int_equal(pools[2].sums[POOL_MEMORY].room, 250);
    assert_int_equal(pools[2].sums[POOL_MEMORY].bounded_by, 2);
    /* No CPU limit, no bound. */
    assert_true(pools[1].sums[POOL_CPU].room == POOL_UNLIMITED);
    /* Once it uses more than it reserved, it takes what is free like everybody. */
    pools[1].sums[POOL_MEMORY].own = 400;
    tree.root[POOL_MEMORY].own = 0;
    pool_tree_sum(&tree, plenty);
    assert_int_equal(pools[0].sums[POOL_MEMORY].room, 250);
    assert_int_equal(pools[1].sums[POOL_MEMORY].room, 250);
    /* A limit that was lowered below what is in use leaves nothing, and not less. */
    pools[0].spec.memory_limit_mib = 10;
    pool_tree_sum(&tree, plenty);
    assert_int_equal(pools[2].sums[POOL_MEMORY].room, 0);
}

static void the_hosts_bound_others_only_while_something_is_kept_free(void **state)
{
    (void)state;
    struct pool pools[] = {pool("a", 300, 0), pool("b", 0, 0)};
    struct pool_tree tree = {.pools = pools, .n_pools = 2};
    const uint64_t hosts[POOL_RESOURCES] = {1000, 200};
    pools[1].sums[POOL_MEMORY].own = 600;
    pool_tree_sum(&tree, hosts);
    assert_int_equal(pools[1].sums[POOL_MEMORY].room, 100);
    assert_int_equal(pools[1].sums[POOL_MEMORY].bounded_by, POOL_ROOT);
    assert_int_equal(pools[0].sums[POOL_MEMORY].room, 400);
    assert_int_equal(tree.root[POOL_MEMORY].room, 100);
    pools[0].sums[POOL_MEMORY].own = 300;
    pool_tree_sum(&tree, hosts);
    assert_true(pools[1].sums[POOL_MEMORY].room == POOL_UNLIMITED);
}

static void a_list_comes_sorted_and_checked(void **state)
{
    (void)state;
    JsonObject *object = NULL;
    struct err err = {0};
    struct pool_spec *pools = NULL;
    uint32_t n_pools = 0;
    assert_int_equal(model_parse("{\"pools\":[{\"path\":\"b\"},{\"path\":\"a\",\"cpu_limit_percent\":50}]}",
                                 -1, &object, NULL),
                     0);
    assert_int_equal(pool_list_from_json(object, &pools, &n_pools, &err), 0);
    assert_int_equal(n_pools, 2);
    assert_string_equal(pools[0].path, "a");
    assert_int_equal(pools[0].cpu_limit_percent, 50);
    g_free(pools);
    json_object_unref(object);
    static const char *const bad[] = {"{}", "{\"pools\":{}}", "{\"pools\":[7]}", "{\"pools\":[{}]}"};
    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        assert_int_equal(model_parse(bad[i], -1, &object, NULL), 0);
        assert_int_equal(pool_list_from_json(object, &pools, &n_pools, &err), -1);
        json_object_unref(object);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pool_survives_its_json_form),
        cmocka_unit_test(bad_input_is_refused_by_field),
        cmocka_unit_test(shares_are_one_to_two_to_four_or_a_number),
        cmocka_unit_test(paths_know_who_is_within_whom),
        cmocka_unit_test(what_children_reserve_must_fit_into_the_parent),
        cmocka_unit_test(sums_are_of_the_whole_subtree_and_room_of_all_above),
        cmocka_unit_test(the_hosts_bound_others_only_while_something_is_kept_free),
        cmocka_unit_test(a_list_comes_sorted_and_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
