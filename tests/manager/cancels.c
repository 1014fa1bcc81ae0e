/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "harness.h"

#include <string.h>

static bool is_held(void *user)
{
    return ((struct fake_agent *)user)->held != NULL;
}

static struct answer cancel(struct harness *harness, const char *task)
{
    g_autofree char *path = g_strdup_printf("/v1/tasks/%s/cancel", task);
    return harness_call(harness, "POST", path, NULL);
}

static void assert_cancelled(struct harness *harness, const char *task)
{
    struct answer answer = cancel(harness, task);
    assert_false(err_is_set(&answer.err));
    answer_clear(&answer);
    g_autoptr(JsonObject) document = harness_wait_final(harness, task);
    assert_string_equal(text_of(document, "state"), "cancelled");
    assert_string_equal(text_of(json_object_get_object_member(document, "error"), "code"), "CANCELLED");
    assert_null(fake_agent_move(&harness->source));
    assert_null(fake_agent_move(&harness->destination));
    /* Once more is no error. */
    answer = cancel(harness, task);
    assert_false(err_is_set(&answer.err));
    answer_clear(&answer);
}

static void cancel_while_held(void **state, bool at_source, const char *call)
{
    struct harness *harness = *state;
    struct fake_agent *agent = at_source ? &harness->source : &harness->destination;
    agent->hold = call;
    g_autofree char *task = harness_migrate(harness);
    harness_wait(is_held, agent, call);
    struct answer answer = cancel(harness, task);
    assert_false(err_is_set(&answer.err));
    answer_clear(&answer);
    agent->hold = NULL;
    struct err err = {0};
    err_set(&err, ERR_CANCELLED, "cancelled", "cancelled");
    http_fail(g_steal_pointer(&agent->held), &err);
    assert_cancelled(harness, task);
}

static void in_destination_check(void **state)
{
    cancel_while_held(state, false, "POST check");
}

static void in_source_check(void **state)
{
    cancel_while_held(state, true, "PUT source");
}

static void in_destination_shell(void **state)
{
    cancel_while_held(state, false, "PUT destination");
}

static void in_copy(void **state)
{
    struct harness *harness = *state;
    harness->source.is_automatic = false;
    g_autofree char *task = harness_migrate(harness);
    g_autoptr(JsonObject) copying = harness_wait_phase(harness, task, "copy");
    assert_cancelled(harness, task);
}

static void in_switch_over_before_it_is_given(void **state)
{
    struct harness *harness = *state;
    harness->source.is_automatic = false;
    g_autofree char *task = harness_migrate(harness);
    g_autoptr(JsonObject) copying = harness_wait_phase(harness, task, "copy");
    fake_agent_set(&harness->source, MOVE_SWITCHING);
    g_autoptr(JsonObject) switching = harness_wait_phase(harness, task, "switch-over");
    assert_cancelled(harness, task);
}

static bool web_is_held(void *user)
{
    struct answer vm = harness_call(user, "GET", "/v1/vms/web", NULL);
    bool is_held_now = text_of(vm.object, "move")[0] != '\0';
    answer_clear(&vm);
    return is_held_now;
}

static void leaves_a_vm_that_no_task_holds(void **state)
{
    struct harness *harness = *state;
    harness->source.is_automatic = false;
    g_autofree char *task = harness_migrate(harness);
    g_autoptr(JsonObject) copying = harness_wait_phase(harness, task, "copy");
    harness_wait(web_is_held, harness, "the manager to see that the task holds the VM");
    assert_cancelled(harness, task);
    assert_false(web_is_held(harness));
}

static void with_a_frozen_destination(void **state)
{
    struct harness *harness = *state;
    harness->source.is_automatic = false;
    g_autofree char *task = harness_migrate(harness);
    g_autoptr(JsonObject) copying = harness_wait_phase(harness, task, "copy");
    harness->destination.is_mute = true;
    struct answer answer = cancel(harness, task);
    assert_false(err_is_set(&answer.err));
    answer_clear(&answer);
    g_autoptr(JsonObject) document = harness_wait_final(harness, task);
    assert_string_equal(text_of(document, "state"), "cancelled");
    assert_null(fake_agent_move(&harness->source));
}

/* A stopped host keeps its connections and says nothing. The VM stays, and what the host did for the task is
 * cleared when it is back: no later move is hindered by it. */
static void with_a_destination_frozen_in(struct harness *harness, const char *task)
{
    struct answer answer = cancel(harness, task);
    assert_false(err_is_set(&answer.err));
    answer_clear(&answer);
    g_autoptr(JsonObject) document = harness_wait_final(harness, task);
    assert_string_equal(text_of(document, "state"), "cancelled");
    assert_null(fake_agent_move(&harness->source));
    assert_string_equal(harness->source.vms[0].move, "");
    fake_agent_thaw(&harness->destination);
    harness->source.is_automatic = true;
    struct answer next = {0};
    do
        next = harness_call(harness, "POST", "/v1/migrations", "{\"vm\":\"web\",\"destination\":\"h2\"}");
    while (!strcmp(next.err.id, "host-disconnected"));
    assert_string_equal(next.err.message, "");
    g_autofree char *again = g_strdup(text_of(next.object, "task"));
    answer_clear(&next);
    g_autoptr(JsonObject) end = harness_wait_final(harness, again);
    assert_string_equal(text_of(end, "state"), "success");
}

static void with_a_destination_frozen_in_its_check(void **state)
{
    struct harness *harness = *state;
    fake_agent_freeze(&harness->destination);
    g_autofree char *task = harness_migrate(harness);
    g_autoptr(JsonObject) checking = harness_wait_phase(harness, task, "destination check");
    with_a_destination_frozen_in(harness, task);
}

static void with_a_destination_frozen_in_the_source_check(void **state)
{
    struct harness *harness = *state;
    harness->source.hold = "PUT source";
    g_autofree char *task = harness_migrate(harness);
    harness_wait(is_held, &harness->source, "PUT source");
    fake_agent_freeze(&harness->destination);
    struct answer answer = cancel(harness, task);
    assert_false(err_is_set(&answer.err));
    answer_clear(&answer);
    harness->source.hold = NULL;
    struct err err = {0};
    err_set(&err, ERR_CANCELLED, "cancelled", "cancelled");
    http_fail(g_steal_pointer(&harness->source.held), &err);
    with_a_destination_frozen_in(harness, task);
}

static void with_a_destination_frozen_before_its_shell(void **state)
{
    struct harness *harness = *state;
    harness->source.hold = "PUT source";
    g_autofree char *task = harness_migrate(harness);
    harness_wait(is_held, &harness->source, "PUT source");
    fake_agent_freeze(&harness->destination);
    harness->source.hold = NULL;
    struct err again = {0};
    err_set(&again, ERR_RETRY, "busy", "not now");
    http_fail(g_steal_pointer(&harness->source.held), &again);
    g_autoptr(JsonObject) shell = harness_wait_phase(harness, task, "destination shell");
    with_a_destination_frozen_in(harness, task);
}

static void with_a_destination_frozen_in_the_switch_over(void **state)
{
    struct harness *harness = *state;
    harness->source.is_automatic = false;
    g_autofree char *task = harness_migrate(harness);
    g_autoptr(JsonObject) copying = harness_wait_phase(harness, task, "copy");
    fake_agent_freeze(&harness->destination);
    fake_agent_set(&harness->source, MOVE_SWITCHING);
    g_autoptr(JsonObject) switching = harness_wait_phase(harness, task, "switch-over");
    with_a_destination_frozen_in(harness, task);
}

static void is_refused_after_given(void **state)
{
    struct harness *harness = *state;
    harness->source.is_automatic = false;
    harness->destination.hold = "POST commit";
    g_autofree char *task = harness_migrate(harness);
    g_autoptr(JsonObject) copying = harness_wait_phase(harness, task, "copy");
    fake_agent_set(&harness->source, MOVE_GIVEN);
    g_autoptr(JsonObject) switching = harness_wait_phase(harness, task, "switch-over");
    struct answer answer = cancel(harness, task);
    assert_int_equal(answer.err.code, ERR_REFUSED);
    assert_string_equal(answer.err.id, "too-late-to-cancel");
    harness_wait(is_held, &harness->destination, "the relay");
    fake_agent_finish_pair(&harness->source);
    http_reply(g_steal_pointer(&harness->destination.held), 200, NULL);
    g_autoptr(JsonObject) document = harness_wait_final(harness, task);
    assert_string_equal(text_of(document, "state"), "success");
    answer = cancel(harness, task);
    assert_string_equal(answer.err.id, "too-late-to-cancel");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, harness_setup, harness_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(in_destination_check),
        TEST(in_source_check),
        TEST(in_destination_shell),
        TEST(in_copy),
        TEST(in_switch_over_before_it_is_given),
        TEST(leaves_a_vm_that_no_task_holds),
        TEST(with_a_frozen_destination),
        TEST(with_a_destination_frozen_in_its_check),
        TEST(with_a_destination_frozen_in_the_source_check),
        TEST(with_a_destination_frozen_before_its_shell),
        TEST(with_a_destination_frozen_in_the_switch_over),
        TEST(is_refused_after_given),
    };
    return cmocka_run_group_tests_name("cancel", tests, NULL, NULL);
}
