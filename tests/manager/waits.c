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

static void let_go(struct fake_agent *agent)
{
    agent->hold = NULL;
    http_reply(g_steal_pointer(&agent->held), 200, NULL);
}

/* The task says what it waits for, and since when; the beginning stays while the wait lasts. */
static void assert_waits(struct harness *harness, const char *task, const char *what)
{
    g_autoptr(JsonObject) first = harness_wait_member(harness, task, "waiting_for", what);
    const char *since = text_of(first, "waiting_since");
    assert_int_equal(strlen(since), strlen("2026-11-23T01:29:38.069Z"));
    assert_true(strcmp(since, text_of(first, "created")) >= 0);
    g_autoptr(JsonObject) second = harness_wait_member(harness, task, "waiting_for", what);
    assert_string_equal(text_of(second, "waiting_since"), since);
    assert_string_equal(text_of(second, "state"), "running");
}

static void assert_success(struct harness *harness, const char *task)
{
    g_autoptr(JsonObject) document = harness_wait_final(harness, task);
    assert_string_equal(text_of(document, "state"), "success");
    assert_string_equal(text_of(document, "waiting_for"), "");
    assert_true(json_object_get_null_member(document, "waiting_since"));
}

/* A call that is held back and then answered with an error that it is worth to repeat. */
static void held_back(void **state, bool at_source, const char *call, const char *what)
{
    struct harness *harness = *state;
    struct fake_agent *agent = at_source ? &harness->source : &harness->destination;
    agent->hold = call;
    g_autofree char *task = harness_migrate(harness);
    harness_wait(is_held, agent, call);
    assert_waits(harness, task, what);
    agent->hold = NULL;
    struct err again = {0};
    err_set(&again, ERR_RETRY, "busy", "not now");
    http_fail(g_steal_pointer(&agent->held), &again);
    assert_success(harness, task);
}

static void the_destination_check_names_the_destination(void **state)
{
    held_back(state, false, "POST check", "host 'h2' to check whether the VM can come");
}

static void the_source_check_names_the_source(void **state)
{
    held_back(state, true, "PUT source", "host 'h1' to check and hold the VM");
}

static void the_shell_names_the_destination(void **state)
{
    held_back(state, false, "PUT destination", "host 'h2' to start the shell of the VM");
}

static void the_start_of_the_copy_names_the_source(void **state)
{
    held_back(state, true, "POST start", "host 'h1' to start to send the memory");
}

static void the_inventory_names_who_still_holds_the_move(void **state)
{
    struct harness *harness = *state;
    harness->source.hold = "DELETE";
    g_autofree char *task = harness_migrate(harness);
    harness_wait(is_held, &harness->source, "DELETE");
    assert_waits(harness, task, "host 'h1' to forget the move");
    let_go(&harness->source);
    assert_success(harness, task);
}

static void a_frozen_destination_is_named_before_it_is_lost(void **state)
{
    struct harness *harness = *state;
    fake_agent_freeze(&harness->destination);
    g_autofree char *task = harness_migrate(harness);
    assert_waits(harness, task, "host 'h2' to check whether the VM can come");
    fake_agent_thaw(&harness->destination);
    assert_success(harness, task);
}

static char *copy(struct harness *harness)
{
    harness->source.is_automatic = false;
    char *task = harness_migrate(harness);
    g_autoptr(JsonObject) copying = harness_wait_phase(harness, task, "copy");
    return task;
}

static void a_copy_that_stands_still_names_the_network(void **state)
{
    struct harness *harness = *state;
    g_autofree char *task = copy(harness);
    assert_waits(harness, task, "memory to cross the migration network from host 'h1' to host 'h2'");
    fake_agent_finish_pair(&harness->source);
    assert_success(harness, task);
}

static void a_copy_that_lost_its_connections_says_so_and_how_it_went(void **state)
{
    struct harness *harness = *state;
    g_autofree char *task = copy(harness);
    struct move_status *status = &fake_agent_move(&harness->source)->status;
    status->is_down = true;
    fake_agent_set(&harness->source, MOVE_COPYING);
    assert_waits(harness, task, "the migration network from host 'h1' to host 'h2' to come back");
    status->is_down = false;
    status->resumes = 2;
    status->bytes_resent = 12345;
    fake_agent_finish_pair(&harness->source);
    assert_success(harness, task);
    g_autoptr(JsonObject) document = harness_wait_final(harness, task);
    assert_int_equal(json_object_get_int_member(document, "resumes"), 2);
    assert_int_equal(json_object_get_int_member(document, "bytes_resent"), 12345);
    assert_int_equal(
        json_object_get_int_member(json_object_get_object_member(document, "options"), "resume_limit_s"), 0);
}

static void a_copy_names_a_frozen_host(void **state)
{
    struct harness *harness = *state;
    g_autofree char *task = copy(harness);
    fake_agent_freeze(&harness->destination);
    assert_waits(harness, task, "host 'h2' to say how the move stands");
    fake_agent_freeze(&harness->source);
    assert_waits(harness, task, "host 'h1' to say how the move stands");
    fake_agent_thaw(&harness->source);
    fake_agent_thaw(&harness->destination);
    fake_agent_finish_pair(&harness->source);
    assert_success(harness, task);
}

static void a_switch_over_names_the_destination(void **state)
{
    struct harness *harness = *state;
    g_autofree char *task = copy(harness);
    fake_agent_set(&harness->source, MOVE_SWITCHING);
    assert_waits(harness, task, "host 'h2' to take the VM over");
    harness->destination.hold = "POST commit";
    fake_agent_set(&harness->source, MOVE_GIVEN);
    harness_wait(is_held, &harness->destination, "the relay");
    assert_waits(harness, task, "host 'h2' to say whether it runs the VM");
    fake_agent_finish_pair(&harness->source);
    let_go(&harness->destination);
    assert_success(harness, task);
}

/* The first step that nobody has seen is the one that is waited for. */
static void a_switch_over_names_the_step_that_does_not_come(void **state)
{
    static const struct {
        bool is_sources;
        const char *event, *what;
    } steps[] = {
        {true, "connected", "host 'h1' to stop the guest"},
        {true, "guest stopped", "the last memory to cross the migration network from host 'h1' to host 'h2'"},
        {false, "memory complete", "host 'h1' to save the state of the VM's devices"},
        {true, "device state saved", "host 'h2' to load the state of the VM's devices"},
        {false, "device state loaded", "host 'h2' to take the VM over"},
    };
    struct harness *harness = *state;
    g_autofree char *task = copy(harness);
    fake_agent_note(&harness->destination, "source connected");
    fake_agent_set(&harness->destination, MOVE_COPYING);
    for (unsigned i = 0; i < G_N_ELEMENTS(steps); i++) {
        struct fake_agent *agent = steps[i].is_sources ? &harness->source : &harness->destination;
        fake_agent_note(agent, steps[i].event);
        fake_agent_set(agent, MOVE_SWITCHING);
        assert_waits(harness, task, steps[i].what);
    }
    fake_agent_finish_pair(&harness->source);
    assert_success(harness, task);
}

static void an_ending_names_the_source_that_alone_can_say_it(void **state)
{
    struct harness *harness = *state;
    g_autofree char *task = copy(harness);
    fake_agent_freeze(&harness->source);
    g_autofree char *path = g_strdup_printf("/v1/tasks/%s/cancel", task);
    struct answer answer = harness_call(harness, "POST", path, NULL);
    assert_false(err_is_set(&answer.err));
    answer_clear(&answer);
    assert_waits(harness, task, "host 'h1' to answer: it alone knows whether it keeps VM 'web'");
    fake_agent_thaw(&harness->source);
    g_autoptr(JsonObject) document = harness_wait_final(harness, task);
    assert_string_equal(text_of(document, "state"), "cancelled");
    assert_null(fake_agent_move(&harness->source));
    assert_null(fake_agent_move(&harness->destination));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, harness_setup, harness_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_destination_check_names_the_destination),
        TEST(the_source_check_names_the_source),
        TEST(the_shell_names_the_destination),
        TEST(the_start_of_the_copy_names_the_source),
        TEST(the_inventory_names_who_still_holds_the_move),
        TEST(a_frozen_destination_is_named_before_it_is_lost),
        TEST(a_copy_that_stands_still_names_the_network),
        TEST(a_copy_that_lost_its_connections_says_so_and_how_it_went),
        TEST(a_copy_names_a_frozen_host),
        TEST(a_switch_over_names_the_destination),
        TEST(a_switch_over_names_the_step_that_does_not_come),
        TEST(an_ending_names_the_source_that_alone_can_say_it),
    };
    return cmocka_run_group_tests_name("waits", tests, NULL, NULL);
}
