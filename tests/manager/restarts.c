/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "harness.h"

#include <string.h>

/* The manager is killed while a call is held back, or while the source is in a state, and started again. */
struct edge {
    const char *hold_at_source;
    const char *hold_at_destination;
    enum move_state copy_state;
    const char *phase;
    const char *final_state;
    const char *error_id;
};

struct place {
    struct harness *harness;
    const struct edge *edge;
    const char *task;
};

static bool is_held(void *user)
{
    struct place *place = user;
    return place->harness->source.held || place->harness->destination.held;
}

static void let_go(struct fake_agent *agent)
{
    agent->hold = NULL;
    if (agent->held)
        http_reply(g_steal_pointer(&agent->held), 200, NULL);
}

static bool has_no_move(void *user)
{
    return !fake_agent_move(user);
}

static void kill_at(void **state, const struct edge *edge)
{
    struct harness *harness = *state;
    struct place place = {harness, edge, NULL};
    harness->source.hold = edge->hold_at_source;
    harness->destination.hold = edge->hold_at_destination;
    harness->source.is_automatic =
        strcmp(edge->phase, "copy") != 0 && strcmp(edge->phase, "switch-over") != 0;
    g_autofree char *task = harness_migrate(harness);
    if (edge->hold_at_source || edge->hold_at_destination)
        harness_wait(is_held, &place, "a call to be held");
    g_autoptr(JsonObject) copying = NULL;
    if (!harness->source.is_automatic && !edge->hold_at_source) {
        copying = harness_wait_phase(harness, task, "copy");
        fake_agent_set(&harness->source, edge->copy_state);
    }
    g_autoptr(JsonObject) before = harness_wait_phase(harness, task, edge->phase);
    harness_kill(harness);
    let_go(&harness->source);
    let_go(&harness->destination);
    harness_start(harness);
    if (!harness->source.is_automatic && !edge->hold_at_source)
        fake_agent_finish_pair(&harness->source);
    g_autoptr(JsonObject) after = harness_wait_final(harness, task);
    assert_string_equal(text_of(after, "state"), edge->final_state);
    assert_string_equal(error_id_of(after), edge->error_id);
    assert_null(fake_agent_move(&harness->source));
    /* A slow one does not hold the task up. */
    harness_wait(has_no_move, &harness->destination, "the destination to be cleared");
    /* Nothing forbids the next one. */
    harness->source.is_automatic = true;
    bool has_moved = !strcmp(edge->final_state, "success");
    struct answer next = harness_call(harness, "POST", "/v1/migrations",
                                      has_moved ? "{\"vm\":\"web\",\"destination\":\"h1\"}"
                                                : "{\"vm\":\"web\",\"destination\":\"h2\"}");
    while (err_is_set(&next.err) && !strcmp(next.err.id, "host-disconnected")) {
        harness_wait_connected(harness, has_moved ? "h2" : "h1");
        next = harness_call(harness, "POST", "/v1/migrations",
                            has_moved ? "{\"vm\":\"web\",\"destination\":\"h1\"}"
                                      : "{\"vm\":\"web\",\"destination\":\"h2\"}");
    }
    assert_string_equal(next.err.message, "");
    g_autoptr(JsonObject) end = harness_wait_final(harness, text_of(next.object, "task"));
    assert_string_equal(text_of(end, "state"), "success");
    answer_clear(&next);
}

static void killed_in_destination_check_goes_on(void **state)
{
    kill_at(state, &(struct edge){NULL, "POST check", 0, "destination check", "success", ""});
}

static void killed_in_source_check_ends_without_the_key(void **state)
{
    kill_at(state,
            &(struct edge){"PUT source", NULL, 0, "source check and lock", "error", "manager-restarted"});
}

static void killed_in_destination_shell_ends_without_the_key(void **state)
{
    kill_at(state,
            &(struct edge){NULL, "PUT destination", 0, "destination shell", "error", "manager-restarted"});
}

static void killed_before_the_start_arrived_ends_without_the_key(void **state)
{
    kill_at(state, &(struct edge){"POST start", NULL, 0, "copy", "error", "manager-restarted"});
}

static void killed_in_copy_follows_it_to_success(void **state)
{
    kill_at(state, &(struct edge){NULL, NULL, MOVE_COPYING, "copy", "success", ""});
}

static void killed_in_switch_over_follows_it_to_success(void **state)
{
    kill_at(state, &(struct edge){NULL, NULL, MOVE_SWITCHING, "switch-over", "success", ""});
}

static void killed_in_inventory_completes(void **state)
{
    kill_at(state, &(struct edge){"DELETE", NULL, 0, "inventory", "success", ""});
}

static void a_finished_task_and_its_numbers_survive(void **state)
{
    struct harness *harness = *state;
    g_autofree char *task = harness_migrate(harness);
    g_autoptr(JsonObject) before = harness_wait_final(harness, task);
    harness_kill(harness);
    harness_start(harness);
    g_autoptr(JsonObject) after = harness_wait_final(harness, task);
    g_autofree char *before_text = model_print(before, false);
    g_autofree char *after_text = model_print(after, false);
    assert_string_equal(before_text, after_text);
}

struct progress {
    struct harness *harness;
    const char *task;
    gint64 above;
    gint64 found;
};

static bool has_progress(void *user)
{
    struct progress *progress = user;
    g_autofree char *path = g_strdup_printf("/v1/tasks/%s", progress->task);
    struct answer answer = harness_call(progress->harness, "GET", path, NULL);
    progress->found = json_object_get_int_member_with_default(answer.object, "progress", -1);
    answer_clear(&answer);
    return progress->found > progress->above;
}

static bool is_followed(void *user)
{
    return fake_agent_move(user)->poll != NULL;
}

static void progress_does_not_go_back_when_the_manager_restarts(void **state)
{
    struct harness *harness = *state;
    harness->source.is_automatic = false;
    g_autofree char *task = harness_migrate(harness);
    g_autoptr(JsonObject) copying = harness_wait_phase(harness, task, "copy");
    struct fake_move *move = fake_agent_move(&harness->source);
    harness_wait(is_followed, &harness->source, "the manager to ask");
    move->status.bytes_on_wire = 32 << 20;
    move->status.bytes_left = 32 << 20;
    fake_agent_set(&harness->source, MOVE_COPYING);
    struct progress before = {.harness = harness, .task = task, .above = 40};
    harness_wait(has_progress, &before, "the copy to make progress");
    /* What the source says next is less, as after a long round of a busy guest. */
    move->status.bytes_left = 320 << 20;
    harness_kill(harness);
    harness_start(harness);
    struct progress after = {.harness = harness, .task = task, .above = -1};
    harness_wait(has_progress, &after, "the progress");
    assert_true(after.found >= before.found);
    harness_wait(is_followed, &harness->source, "the manager to ask again");
    (void)has_progress(&after);
    assert_true(after.found >= before.found);
    fake_agent_finish_pair(&harness->source);
    g_autoptr(JsonObject) end = harness_wait_final(harness, task);
    assert_string_equal(text_of(end, "state"), "success");
}

static bool destination_is_prepared(void *user)
{
    return fake_agent_move(user) != NULL;
}

static bool source_is_free(void *user)
{
    return fake_agent_move(user) == NULL;
}

/* A host that was away when the task ended is cleaned when it is back. */
static void a_move_without_a_task_is_cleaned_up(void **state)
{
    struct harness *harness = *state;
    harness->source.is_automatic = false;
    g_autofree char *task = harness_migrate(harness);
    harness_wait(destination_is_prepared, &harness->destination, "the shell");
    g_autoptr(JsonObject) copying = harness_wait_phase(harness, task, "copy");
    fake_agent_stop(&harness->destination);
    err_set(&fake_agent_move(&harness->source)->status.error, ERR_PEER_LOST, "peer-lost", "gone");
    fake_agent_set(&harness->source, MOVE_FAILED);
    g_autoptr(JsonObject) document = harness_wait_final(harness, task);
    assert_string_equal(text_of(document, "state"), "error");
    assert_non_null(fake_agent_move(&harness->destination));
    fake_agent_start(&harness->destination);
    harness_wait(source_is_free, &harness->destination, "the shell to be forgotten");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, harness_setup, harness_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(killed_in_destination_check_goes_on),
        TEST(killed_in_source_check_ends_without_the_key),
        TEST(killed_in_destination_shell_ends_without_the_key),
        TEST(killed_before_the_start_arrived_ends_without_the_key),
        TEST(killed_in_copy_follows_it_to_success),
        TEST(killed_in_switch_over_follows_it_to_success),
        TEST(killed_in_inventory_completes),
        TEST(a_finished_task_and_its_numbers_survive),
        TEST(progress_does_not_go_back_when_the_manager_restarts),
        TEST(a_move_without_a_task_is_cleaned_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
