/* SPDX-License-Identifier: Apache-2.0 */
/* The cluster's CPU baseline, between the manager and two hosts that can do unlike things. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "harness.h"

#include <string.h>

static const char *const able[] = {"Haswell", "Westmere", "Nehalem", NULL};
static const char *const lesser[] = {"Westmere", "Penryn", NULL};

static struct answer set(struct harness *harness, const char *model)
{
    g_autofree char *body = g_strdup_printf("{\"cpu_baseline\":\"%s\"}", model);
    return harness_call(harness, "PATCH", "/v1/cluster", body);
}

static void must_set(struct harness *harness, const char *model)
{
    struct answer answer = set(harness, model);
    if (err_is_set(&answer.err))
        fail_msg("%s: %s %s", model, answer.err.id, answer.err.message);
    assert_string_equal(text_of(answer.object, "cpu_baseline"), model);
    answer_clear(&answer);
}

static void must_refuse(struct harness *harness, const char *method, const char *path, const char *body,
                        const char *id)
{
    struct answer answer = harness_call(harness, method, path, body);
    assert_string_equal(answer.err.id, id);
    answer_clear(&answer);
}

struct wanted {
    struct harness *harness;
    const struct fake_agent *agent;
    const char *text;
};

static bool is_told(void *user)
{
    const struct wanted *wanted = user;
    return !strcmp(wanted->agent->cpu_baseline, wanted->text);
}

static bool host_says(void *user)
{
    const struct wanted *wanted = user;
    struct answer answer = harness_call(wanted->harness, "GET", "/v1/hosts/h2", NULL);
    const char *problem = text_of(answer.object, "problem");
    bool is_so = wanted->text[0] ? strstr(problem, wanted->text) != NULL : !problem[0];
    answer_clear(&answer);
    return is_so;
}

static bool both_keep_baselines(void *user)
{
    struct harness *harness = user;
    struct answer answer = harness_call(harness, "GET", "/v1/cluster", NULL);
    JsonArray *possible = json_object_get_array_member(answer.object, "possible");
    bool is_so = json_array_get_length(possible) == 1 &&
                 !strcmp(json_array_get_string_element(possible, 0), "Westmere");
    answer_clear(&answer);
    return is_so;
}

static void make_able(struct harness *harness)
{
    harness->source.cpu_models = able;
    harness->destination.cpu_models = lesser;
    harness_wait(both_keep_baselines, harness, "both hosts to say what they can do");
}

static void only_what_all_hosts_can_do_becomes_the_baseline(void **state)
{
    struct harness *harness = *state;
    /* Agents of the version before cannot keep one. */
    struct answer answer = set(harness, "Westmere");
    assert_string_equal(answer.err.id, "cpu-baseline-refused");
    assert_non_null(strstr(answer.err.cause, "upgrade it"));
    answer_clear(&answer);
    make_able(harness);
    answer = set(harness, "Haswell");
    assert_string_equal(answer.err.id, "cpu-baseline-refused");
    assert_string_equal(err_arg_find(&answer.err, "hosts"), "'h2'");
    assert_string_equal(err_arg_find(&answer.err, "best"), "Westmere");
    assert_non_null(strstr(answer.err.cause, "h2: under tcg it lacks fake"));
    JsonArray *hosts = json_object_get_array_member(answer.object, "hosts");
    assert_int_equal(json_array_get_length(hosts), 1);
    assert_string_equal(text_of(json_array_get_object_element(hosts, 0), "missing"), "fake");
    answer_clear(&answer);
    assert_string_equal(harness->source.cpu_baseline, "");
    must_set(harness, "Westmere");
    assert_string_equal(harness->source.cpu_baseline, "Westmere");
    assert_string_equal(harness->destination.cpu_baseline, "Westmere");
    g_autoptr(JsonObject) event = harness_wait_event(harness, "cluster", "cpu_baseline", "Westmere");
    must_set(harness, "none");
    assert_string_equal(harness->destination.cpu_baseline, "");
    static const char *const bad[] = {"{}", "{\"cpu_baseline\":\"max\"}", "{\"cpu_baseline\":\"\"}",
                                      "{\"cpu_baseline\":7}", "{\"cpu_baseline\":\"none\",\"x\":1}"};
    static const char *const ids[] = {"member-missing", "member-type", "member-type", "member-type",
                                      "unknown-member"};
    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++)
        must_refuse(harness, "PATCH", "/v1/cluster", bad[i], ids[i]);
}

static void the_baseline_outlives_the_manager_and_whoever_lost_it_is_told_again(void **state)
{
    struct harness *harness = *state;
    make_able(harness);
    must_set(harness, "Westmere");
    harness_kill(harness);
    harness->source.cpu_baseline[0] = '\0';
    harness_start(harness);
    struct wanted wanted = {harness, &harness->source, "Westmere"};
    harness_wait(is_told, &wanted, "h1 to be told again");
}

static void a_host_that_cannot_provide_it_any_more_takes_no_vm(void **state)
{
    struct harness *harness = *state;
    static const char *const old[] = {"Penryn", NULL};
    make_able(harness);
    must_set(harness, "Westmere");
    (void)fake_agent_add_vm(&harness->destination, "other", VM_OFF);
    harness->destination.cpu_models = old;
    struct wanted wanted = {harness, &harness->destination,
                            "Westmere of the cluster: under tcg it lacks fake"};
    harness_wait(host_says, &wanted, "h2 to have a problem");
    must_refuse(harness, "POST", "/v1/vms/other/start", NULL, "cpu-baseline-unsupported");
    assert_false(fake_agent_was_called(&harness->destination, "POST vm start"));
    g_autofree char *task = harness_migrate(harness);
    g_autoptr(JsonObject) over = harness_wait_final(harness, task);
    assert_string_equal(error_id_of(over), "cpu-baseline-unsupported");
    must_set(harness, "none");
    wanted.text = "";
    harness_wait(host_says, &wanted, "h2 to be well");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, harness_setup, harness_teardown)
    const struct CMUnitTest tests[] = {
        TEST(only_what_all_hosts_can_do_becomes_the_baseline),
        TEST(the_baseline_outlives_the_manager_and_whoever_lost_it_is_told_again),
        TEST(a_host_that_cannot_provide_it_any_more_takes_no_vm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
