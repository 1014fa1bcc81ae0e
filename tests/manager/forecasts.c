/* SPDX-License-Identifier: Apache-2.0 */
/* The manager's part of a dry run, with fake agents: the checks of a migration, in their order and with their
 * errors, then both sides' samples; and nothing that stays. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "harness.h"
#include "model/protocol.h"

#include <string.h>

#define WISH "{\"vm\":\"web\",\"destination\":\"h2\",\"options\":{\"bandwidth_mb_s\":50}}"

static struct answer ask(struct harness *harness)
{
    return harness_call(harness, "POST", "/v1/forecasts", WISH);
}

static void assert_calls(const struct fake_agent *agent, const char *const *calls)
{
    guint i = 0;
    for (; calls[i]; i++) {
        assert_true(i < agent->calls->len);
        assert_string_equal(agent->calls->pdata[i], calls[i]);
    }
    assert_int_equal(agent->calls->len, i);
}

static void assert_no_task(struct harness *harness)
{
    struct answer tasks = harness_call(harness, "GET", "/v1/tasks", NULL);
    assert_int_equal(json_array_get_length(json_object_get_array_member(tasks.object, "tasks")), 0);
    answer_clear(&tasks);
}

static void a_forecast_is_checked_like_a_move_and_makes_no_task(void **state)
{
    static const char *const source[] = {"POST check", "POST forecast", NULL};
    static const char *const destination[] = {"POST check", "PUT forecast", NULL};
    struct harness *harness = *state;
    struct answer answer = ask(harness);
    assert_string_equal(answer.err.message, "");
    assert_string_equal(text_of(answer.object, "vm"), "web");
    assert_string_equal(text_of(answer.object, "source"), "h1");
    assert_string_equal(text_of(answer.object, "destination"), "h2");
    JsonArray *checks = json_object_get_array_member(answer.object, "checks");
    assert_int_equal(json_array_get_length(checks), 4);
    assert_string_equal(text_of(json_array_get_object_element(checks, 3), "name"), "source check and lock");
    JsonObject *forecast = json_object_get_object_member(answer.object, "forecast");
    assert_int_equal(json_object_get_int_member(forecast, "rounds"), 3);
    answer_clear(&answer);
    assert_calls(&harness->source, source);
    assert_calls(&harness->destination, destination);
    /* The source is told what the destination has drawn, and both the same key and limits. */
    assert_int_equal(harness->source.spec.ticket[0], 7);
    assert_memory_equal(harness->source.spec.key, harness->destination.spec.key, MOVE_SECRET_SIZE);
    assert_int_equal(harness->source.spec.options.bandwidth_mb_s, 50);
    assert_true(harness->source.spec.n_addresses > 0 && harness->source.spec.n_channels > 0);
    assert_no_task(harness);
    g_autoptr(JsonObject) event = harness_wait_event(harness, "forecast", "vm", "web");
    assert_non_null(event);
    g_autofree char *task = harness_migrate(harness);
    g_autoptr(JsonObject) moved = harness_wait_final(harness, task);
    assert_string_equal(text_of(moved, "state"), "success");
}

static void refused(struct harness *harness, struct fake_agent *agent, const char *call, const char *phase,
                    const char *side)
{
    agent->refuse = call;
    struct answer answer = ask(harness);
    assert_string_equal(answer.err.id, "fake-refusal");
    assert_string_equal(answer.err.phase, phase);
    assert_string_equal(answer.err.side, side);
    answer_clear(&answer);
    agent->refuse = NULL;
    assert_no_task(harness);
}

static void what_refuses_it_has_its_phase_and_side(void **state)
{
    struct harness *harness = *state;
    refused(harness, &harness->destination, "POST check", "destination check", "destination");
    assert_false(fake_agent_was_called(&harness->destination, "PUT forecast"));
    refused(harness, &harness->source, "POST check", "source check and lock", "source");
    assert_false(fake_agent_was_called(&harness->destination, "PUT forecast"));
    refused(harness, &harness->destination, "PUT forecast", "copy", "destination");
    assert_false(fake_agent_was_called(&harness->source, "POST forecast"));
    refused(harness, &harness->source, "POST forecast", "copy", "source");
}

static void a_vm_that_a_task_moves_is_not_sampled(void **state)
{
    struct harness *harness = *state;
    harness->source.is_automatic = false;
    g_autofree char *task = harness_migrate(harness);
    g_autoptr(JsonObject) copying = harness_wait_phase(harness, task, "copy");
    struct answer answer = ask(harness);
    assert_string_equal(answer.err.id, "task-running");
    assert_false(fake_agent_was_called(&harness->source, "POST forecast"));
    answer_clear(&answer);
    fake_agent_finish_pair(&harness->source);
    g_autoptr(JsonObject) moved = harness_wait_final(harness, task);
    assert_string_equal(text_of(moved, "state"), "success");
}

static bool is_before(void *user)
{
    struct harness *harness = user;
    struct answer answer = harness_call(harness, "GET", "/v1/hosts/h1", NULL);
    JsonObject *facts = json_object_get_object_member(answer.object, "facts");
    bool is = facts && json_object_get_int_member(facts, "protocol") == PROTOCOL - 1;
    answer_clear(&answer);
    return is;
}

static void an_agent_of_the_version_before_is_named(void **state)
{
    struct harness *harness = *state;
    harness->source.protocol = PROTOCOL - 1;
    harness_wait(is_before, harness, "the older agent to be seen");
    struct answer answer = ask(harness);
    assert_string_equal(answer.err.id, "forecast-unsupported");
    assert_string_equal(err_arg_find(&answer.err, "host"), "h1");
    answer_clear(&answer);
    assert_false(fake_agent_was_called(&harness->destination, "PUT forecast"));
}

static void figures_of_a_way_that_carries_nothing_are_an_error(void **state)
{
    struct harness *harness = *state;
    harness->source.again_mb_s = 0.2;
    struct answer answer = ask(harness);
    assert_false(err_is_set(&answer.err));
    answer_clear(&answer);
    harness->source.again_mb_s = 0.1;
    answer = ask(harness);
    assert_string_equal(answer.err.id, "memory-hardly-crosses");
    assert_string_equal(answer.err.phase, "copy");
    assert_string_equal(err_arg_find(&answer.err, "destination"), "h2");
    assert_true(answer.err.cause[0] && answer.err.fix[0]);
    answer_clear(&answer);
    harness->source.zero_percent = 100;
    answer = ask(harness);
    assert_false(err_is_set(&answer.err));
    answer_clear(&answer);
}

static void a_bad_wish_is_refused_as_a_migrations(void **state)
{
    static const char *const bodies[][2] = {
        {"{\"vm\":\"none\",\"destination\":\"h2\"}", "vm-not-found"},
        {"{\"vm\":\"web\",\"destination\":\"h9\"}", "host-not-found"},
        {"{\"vm\":\"web\",\"destination\":\"h1\"}", "same-host"},
        {"{\"vm\":\"web\",\"destination\":\"h2\",\"client_key\":\"k\"}", "unknown-member"},
    };
    struct harness *harness = *state;
    for (unsigned i = 0; i < G_N_ELEMENTS(bodies); i++) {
        struct answer answer = harness_call(harness, "POST", "/v1/forecasts", bodies[i][0]);
        assert_string_equal(answer.err.id, bodies[i][1]);
        answer_clear(&answer);
    }
    assert_false(fake_agent_was_called(&harness->destination, "PUT forecast"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, harness_setup, harness_teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_forecast_is_checked_like_a_move_and_makes_no_task),
        TEST(what_refuses_it_has_its_phase_and_side),
        TEST(a_vm_that_a_task_moves_is_not_sampled),
        TEST(an_agent_of_the_version_before_is_named),
        TEST(figures_of_a_way_that_carries_nothing_are_an_error),
        TEST(a_bad_wish_is_refused_as_a_migrations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
