/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "harness.h"

#include <string.h>

/* Short deadlines, so that the test sees them reached. None of them is measured. */
#define SHORT                                                                                                \
    "[deadlines]\ndestination_check_s=2\nsource_check_s=2\ndestination_shell_s=2\n"                          \
    "copy_stalled_s=2\nswitch_over_extra_s=1\ninventory_s=2\n"

static int set_up(void **state)
{
    (void)harness_setup(state);
    harness_configure(*state, SHORT);
    return 0;
}

static bool is_held(void *user)
{
    return ((struct fake_agent *)user)->held != NULL;
}

static void assert_error(JsonObject *document, const char *id, const char *phase, const char *message)
{
    assert_string_equal(text_of(document, "state"), "error");
    JsonObject *error = json_object_get_object_member(document, "error");
    assert_string_equal(text_of(error, "message"), message);
    assert_string_equal(text_of(error, "id"), id);
    assert_string_equal(text_of(error, "code"), "TIMEOUT");
    assert_string_equal(text_of(error, "phase"), phase);
    assert_string_not_equal(text_of(error, "fix"), "");
    assert_string_not_equal(text_of(error, "cause"), "");
}

/* What both sides said last is the cause, as far as anybody knows it. */
static void assert_last_heard(JsonObject *document)
{
    const char *cause = text_of(json_object_get_object_member(document, "error"), "cause");
    assert_non_null(strstr(cause, "host 'h1' said 'connected'"));
    assert_non_null(strstr(cause, "host 'h2' has told no step"));
}

/* A call that is never answered: at the deadline the task ends and says who was waited for and for what. */
static void never_answered(void **state, bool at_source, const char *call, const char *phase, const char *to)
{
    struct harness *harness = *state;
    struct fake_agent *agent = at_source ? &harness->source : &harness->destination;
    agent->hold = call;
    g_autofree char *task = harness_migrate(harness);
    harness_wait(is_held, agent, call);
    g_autoptr(JsonObject) document = harness_wait_final(harness, task);
    g_autofree char *message =
        g_strdup_printf("no answer of host '%s' for 2 s: it was asked to %s", agent->name, to);
    assert_error(document, "no-answer", phase, message);
    JsonObject *error = json_object_get_object_member(document, "error");
    assert_string_equal(text_of(error, "side"), at_source ? "source" : "destination");
    JsonObject *arguments = json_object_get_object_member(error, "arguments");
    assert_string_equal(text_of(arguments, "host"), agent->name);
    assert_string_equal(text_of(arguments, "waited_s"), "2");
    assert_string_equal(text_of(arguments, "request"), to);
    struct answer vm = harness_call(harness, "GET", "/v1/vms/web", NULL);
    assert_string_equal(text_of(vm.object, "host"), "h1");
    answer_clear(&vm);
}

static void of_the_destination_check(void **state)
{
    never_answered(state, false, "POST check", "destination check", "check whether the VM can come");
}

static void of_the_source_check(void **state)
{
    never_answered(state, true, "PUT source", "source check and lock", "check and hold the VM");
}

static void of_the_destination_shell(void **state)
{
    never_answered(state, false, "PUT destination", "destination shell", "start the shell of the VM");
}

static void of_the_start_of_the_copy(void **state)
{
    never_answered(state, true, "POST start", "copy", "start to send the memory");
}

static char *copy(struct harness *harness, const char *request)
{
    harness->source.is_automatic = false;
    struct answer answer = harness_call(harness, "POST", "/v1/migrations", request);
    assert_string_equal(answer.err.message, "");
    char *task = g_strdup(text_of(answer.object, "task"));
    answer_clear(&answer);
    g_autoptr(JsonObject) copying = harness_wait_phase(harness, task, "copy");
    return task;
}

static void of_a_copy_that_does_not_move(void **state)
{
    struct harness *harness = *state;
    g_autofree char *task = copy(harness, "{\"vm\":\"web\",\"destination\":\"h2\"}");
    fake_agent_note(&harness->source, "connected");
    fake_agent_set(&harness->source, MOVE_COPYING);
    g_autoptr(JsonObject) document = harness_wait_final(harness, task);
    assert_error(document, "copy-stalled", "copy", "no memory crossed from host 'h1' to host 'h2' for 2 s");
    assert_last_heard(document);
    assert_null(fake_agent_move(&harness->source));
    assert_null(fake_agent_move(&harness->destination));
}

static void of_the_switch_over_is_the_operators_limit(void **state)
{
    struct harness *harness = *state;
    g_autofree char *task =
        copy(harness, "{\"vm\":\"web\",\"destination\":\"h2\",\"options\":{\"switchover_limit_s\":1}}");
    fake_agent_note(&harness->source, "connected");
    fake_agent_set(&harness->source, MOVE_SWITCHING);
    g_autoptr(JsonObject) document = harness_wait_final(harness, task);
    assert_error(document, "switchover-limit", "switch-over",
                 "host 'h1' waited for more than 2 s for host 'h2' to take VM 'web' over");
    assert_last_heard(document);
    assert_null(fake_agent_move(&harness->source));
}

/* Ownership has moved: what is left undone is no reason to call the move a failure. */
static void of_the_inventory_ends_in_success(void **state)
{
    struct harness *harness = *state;
    harness->source.hold = "DELETE";
    g_autofree char *task = harness_migrate(harness);
    harness_wait(is_held, &harness->source, "DELETE");
    g_autoptr(JsonObject) document = harness_wait_final(harness, task);
    assert_string_equal(text_of(document, "state"), "success");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, harness_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(of_the_destination_check),         TEST(of_the_source_check),
        TEST(of_the_destination_shell),         TEST(of_the_start_of_the_copy),
        TEST(of_a_copy_that_does_not_move),     TEST(of_the_switch_over_is_the_operators_limit),
        TEST(of_the_inventory_ends_in_success),
    };
    return cmocka_run_group_tests_name("deadline", tests, NULL, NULL);
}
