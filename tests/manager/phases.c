/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "harness.h"

#include <string.h>

static bool has_order(const struct fake_agent *agent, const char *const *calls)
{
    for (guint i = 0; *calls; i++, calls++)
        if (i >= agent->calls->len || strcmp(agent->calls->pdata[i], *calls) != 0)
            return false;
    return true;
}

static void a_move_goes_through_the_nine_phases_in_order(void **state)
{
    struct harness *harness = *state;
    g_autofree char *task = harness_migrate(harness);
    g_autoptr(JsonObject) document = harness_wait_final(harness, task);
    assert_string_equal(text_of(document, "state"), "success");
    assert_int_equal(json_object_get_int_member(document, "progress"), 100);
    JsonArray *phases = json_object_get_array_member(document, "phases");
    assert_int_equal(json_array_get_length(phases), MOVE_PHASES);
    for (guint i = 0; i < MOVE_PHASES; i++)
        assert_string_equal(text_of(json_array_get_object_element(phases, i), "name"),
                            move_phase_name((enum move_phase)i));
    assert_true(json_object_get_double_member(document, "downtime_ms") > 4.8);
    assert_true(json_object_get_double_member(document, "throughput_mb_s") > 268);
    assert_true(
        json_object_get_null_member(json_object_get_object_member(document, "clock_offset_ms"), "before"));
    static const char *const source[] = {"PUT source", "POST start", "DELETE", NULL};
    static const char *const destination[] = {"POST check", "PUT destination", "DELETE", NULL};
    assert_true(has_order(&harness->source, source));
    assert_true(has_order(&harness->destination, destination));
    struct answer vm = harness_call(harness, "GET", "/v1/vms/web", NULL);
    assert_string_equal(text_of(vm.object, "host"), "h2");
    assert_string_equal(text_of(vm.object, "state"), "running");
    assert_string_equal(text_of(vm.object, "move"), "");
    answer_clear(&vm);
}

static bool is_held(void *user)
{
    return ((struct fake_agent *)user)->held != NULL;
}

static void the_source_is_not_asked_before_the_destination_agreed(void **state)
{
    struct harness *harness = *state;
    harness->destination.hold = "POST check";
    g_autofree char *task = harness_migrate(harness);
    harness_wait(is_held, &harness->destination, "the destination to be asked");
    assert_int_equal(harness->source.calls->len, 0);
    harness->destination.hold = NULL;
    struct err no = {0};
    err_set(&no, ERR_REFUSED, "cpu-features", "the CPU lacks avx512");
    err_cause(&no, "older generation");
    err_fix(&no, "choose another host");
    http_fail(g_steal_pointer(&harness->destination.held), &no);
    g_autoptr(JsonObject) document = harness_wait_final(harness, task);
    assert_string_equal(text_of(document, "state"), "error");
    JsonObject *error = json_object_get_object_member(document, "error");
    assert_string_equal(text_of(error, "id"), "cpu-features");
    assert_string_equal(text_of(error, "phase"), "destination check");
    assert_string_equal(text_of(error, "side"), "destination");
    assert_string_equal(text_of(error, "cause"), "older generation");
    assert_string_equal(text_of(error, "fix"), "choose another host");
    assert_int_equal(harness->source.calls->len, 0);
}

struct follower {
    struct harness *harness;
    char *path;
    GPtrArray *phases; /* each new one, in order */
    char *last_state;
    gint is_over;
};

static bool note_event(const char *name, JsonObject *object, void *user)
{
    struct follower *follower = user;
    const char *phase = text_of(object, "phase");
    GPtrArray *phases = follower->phases;
    if (strcmp(name, "task") != 0)
        return true;
    if (!phases->len || strcmp(phases->pdata[phases->len - 1], phase) != 0)
        g_ptr_array_add(phases, g_strdup(phase));
    g_free(follower->last_state);
    follower->last_state = g_strdup(text_of(object, "state"));
    return true;
}

static void *follow(void *user)
{
    struct follower *follower = user;
    struct err err = {0};
    if (http_client_events_sync(follower->harness->client, follower->path, note_event, follower, &err))
        g_printerr("events: %s\n", err.message);
    g_atomic_int_set(&follower->is_over, 1);
    g_main_context_wakeup(NULL);
    return NULL;
}

static bool follower_is_over(void *user)
{
    return g_atomic_int_get(&((struct follower *)user)->is_over);
}

static void the_event_stream_shows_each_phase_in_order_and_ends(void **state)
{
    struct harness *harness = *state;
    harness->destination.hold = "POST check";
    g_autofree char *task = harness_migrate(harness);
    harness_wait(is_held, &harness->destination, "the destination to be asked");
    struct follower follower = {.harness = harness, .phases = g_ptr_array_new_with_free_func(g_free)};
    follower.path = g_strdup_printf("/v1/tasks/%s/events", task);
    GThread *thread = g_thread_new("follower", follow, &follower);
    struct answer flushed = harness_call(harness, "GET", "/v1/about", NULL);
    answer_clear(&flushed);
    harness->destination.hold = NULL;
    http_reply(g_steal_pointer(&harness->destination.held), 200, NULL);
    harness_wait(follower_is_over, &follower, "the stream to end");
    (void)g_thread_join(thread);
    assert_string_equal(follower.last_state, "success");
    /* The stream may have been opened after the first phases. */
    guint missed = MOVE_PHASES - follower.phases->len;
    for (guint i = 0; i < follower.phases->len; i++)
        assert_string_equal(follower.phases->pdata[i], move_phase_name((enum move_phase)(missed + i)));
    assert_true(follower.phases->len >= 1);
    g_ptr_array_unref(follower.phases);
    g_free(follower.path);
    g_free(follower.last_state);
}

static void the_stored_events_tell_the_same_story(void **state)
{
    struct harness *harness = *state;
    g_autofree char *task = harness_migrate(harness);
    g_autoptr(JsonObject) document = harness_wait_final(harness, task);
    g_autofree char *command =
        g_strdup_printf("curl -s --unix-socket %s/manager.sock -H 'Authorization: Bearer %s' -H 'Accept: "
                        "application/json' 'http://localhost/v1/events?since=0'",
                        harness->folder, harness->token);
    g_autofree char *text = NULL;
    assert_true(g_spawn_command_line_sync(command, &text, NULL, NULL, NULL));
    g_autoptr(JsonObject) listed = NULL;
    struct err err = {0};
    assert_int_equal(model_parse(text, -1, &listed, &err), 0);
    JsonArray *events = json_object_get_array_member(listed, "events");
    unsigned next_phase = 0;
    for (guint i = 0; i < json_array_get_length(events); i++) {
        JsonObject *event = json_array_get_object_element(events, i);
        if (strcmp(text_of(event, "subject"), task) != 0)
            continue;
        const char *phase = text_of(json_object_get_object_member(event, "document"), "phase");
        if (next_phase < MOVE_PHASES && !strcmp(phase, move_phase_name((enum move_phase)next_phase)))
            next_phase++;
    }
    assert_int_equal(next_phase, MOVE_PHASES);
}

static void the_destinations_own_reason_wins_over_a_lost_peer(void **state)
{
    struct harness *harness = *state;
    harness->source.is_automatic = false;
    g_autofree char *task = harness_migrate(harness);
    g_autoptr(JsonObject) copying = harness_wait_phase(harness, task, "copy");
    struct fake_move *destination = fake_agent_move(&harness->destination);
    struct fake_move *source = fake_agent_move(&harness->source);
    err_set(&destination->status.error, ERR_REFUSED, "disk-locked", "the disk is locked");
    err_set(&source->status.error, ERR_PEER_LOST, "peer-lost", "the destination closed the connection");
    fake_agent_set(&harness->source, MOVE_FAILED);
    fake_agent_set(&harness->destination, MOVE_FAILED);
    g_autoptr(JsonObject) document = harness_wait_final(harness, task);
    assert_string_equal(text_of(document, "state"), "error");
    assert_string_equal(error_id_of(document), "disk-locked");
    assert_string_equal(text_of(json_object_get_object_member(document, "error"), "side"), "destination");
    assert_null(fake_agent_move(&harness->source));
    assert_null(fake_agent_move(&harness->destination));
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
    progress->found = json_object_get_int_member(answer.object, "progress");
    answer_clear(&answer);
    return progress->found > progress->above;
}

static bool is_polled(void *user)
{
    return ((struct fake_move *)user)->poll != NULL;
}

/* As often as this is called, the manager sees such a report. */
static void report(struct harness *harness, uint64_t bytes_on_wire, uint64_t bytes_left)
{
    struct fake_move *move = fake_agent_move(&harness->source);
    harness_wait(is_polled, move, "the manager to ask");
    move->status.bytes_on_wire = bytes_on_wire;
    move->status.bytes_left = bytes_left;
    fake_agent_set(&harness->source, MOVE_COPYING);
}

static void progress_of_the_copy_follows_what_was_sent(void **state)
{
    struct harness *harness = *state;
    harness->source.is_automatic = false;
    g_autofree char *task = harness_migrate(harness);
    g_autoptr(JsonObject) copying = harness_wait_phase(harness, task, "copy");
    report(harness, 0, 0);
    report(harness, 100, 0); /* the hello; no round has begun */
    report(harness, 16 << 20, 48 << 20);
    struct progress progress = {.harness = harness, .task = task, .above = 12};
    harness_wait(has_progress, &progress, "the copy to make progress");
    assert_true(progress.found > 25 && progress.found < 35);
    progress.above = progress.found;
    report(harness, 64 << 20, 1 << 20);
    harness_wait(has_progress, &progress, "the copy to make more progress");
    assert_true(progress.found > 85 && progress.found < 90);
    fake_agent_finish_pair(&harness->source);
    g_autoptr(JsonObject) document = harness_wait_final(harness, task);
    assert_string_equal(text_of(document, "state"), "success");
}

/* ---- the manager as the second path of the handover ---- */

static void commit_and_verdict_are_relayed_when_the_jobs_lost_each_other(void **state)
{
    struct harness *harness = *state;
    harness->source.is_automatic = false;
    harness->destination.verdict = "running";
    g_autofree char *task = harness_migrate(harness);
    g_autoptr(JsonObject) copying = harness_wait_phase(harness, task, "copy");
    memset(fake_agent_move(&harness->source)->status.commit, 9, MOVE_SECRET_SIZE);
    fake_agent_set(&harness->source, MOVE_GIVEN);
    g_autoptr(JsonObject) document = harness_wait_final(harness, task);
    assert_true(harness->destination.got_commit);
    assert_true(harness->source.got_verdict);
    assert_string_equal(text_of(document, "state"), "success");
}

static void a_destination_that_returns_the_vm_ends_the_task_in_error(void **state)
{
    struct harness *harness = *state;
    harness->source.is_automatic = false;
    harness->destination.verdict = "returned";
    g_autofree char *task = harness_migrate(harness);
    g_autoptr(JsonObject) copying = harness_wait_phase(harness, task, "copy");
    fake_agent_set(&harness->source, MOVE_GIVEN);
    g_autoptr(JsonObject) document = harness_wait_final(harness, task);
    assert_string_equal(text_of(document, "state"), "error");
    assert_string_equal(error_id_of(document), "resume-failed");
}

static void an_unknown_session_is_said_to_be_in_doubt(void **state)
{
    struct harness *harness = *state;
    harness->source.is_automatic = false;
    g_autofree char *task = harness_migrate(harness);
    g_autoptr(JsonObject) copying = harness_wait_phase(harness, task, "copy");
    fake_agent_set(&harness->source, MOVE_GIVEN);
    g_autoptr(JsonObject) document = harness_wait_final(harness, task);
    assert_string_equal(text_of(document, "state"), "error");
    assert_string_equal(text_of(json_object_get_object_member(document, "error"), "code"), "IN_DOUBT");
    assert_string_equal(error_id_of(document), "ownership-in-doubt");
}

static void a_verdict_that_the_source_does_not_believe_is_said_to_be_in_doubt(void **state)
{
    struct harness *harness = *state;
    harness->source.is_automatic = false;
    harness->source.refuse = "POST verdict";
    harness->destination.verdict = "running";
    g_autofree char *task = harness_migrate(harness);
    g_autoptr(JsonObject) copying = harness_wait_phase(harness, task, "copy");
    fake_agent_set(&harness->source, MOVE_GIVEN);
    g_autoptr(JsonObject) document = harness_wait_final(harness, task);
    assert_string_equal(text_of(json_object_get_object_member(document, "error"), "code"), "IN_DOUBT");
}

static bool is_followed(void *user)
{
    return fake_agent_move(user)->poll != NULL;
}

static bool is_told_to_forget(void *user)
{
    return fake_agent_was_called(user, "DELETE");
}

static void answer_held(struct fake_agent *agent)
{
    http_reply(g_steal_pointer(&agent->held), 200, move_status_to_json(&fake_agent_move(agent)->status));
}

static gboolean is_over(gpointer user)
{
    *(bool *)user = true;
    return G_SOURCE_REMOVE;
}

static bool is_true(void *user)
{
    return *(bool *)user;
}

/* The ending learns that the source is given, and at once the source says nothing for longer than the relay
 * waits for the jobs. */
static void a_source_that_is_silent_for_a_moment_still_gets_its_verdict(void **state)
{
    struct harness *harness = *state;
    struct fake_agent *source = &harness->source;
    bool has_passed = false;
    source->is_automatic = false;
    harness->destination.verdict = "returned";
    g_autofree char *task = harness_migrate(harness);
    g_autoptr(JsonObject) copying = harness_wait_phase(harness, task, "copy");
    harness_wait(is_followed, source, "the source to be followed");
    source->hold = "GET";
    fake_agent_set(&harness->destination, MOVE_FAILED);
    harness_wait(is_told_to_forget, &harness->destination, "the ending");
    harness_wait(is_held, source, "the ending to look");
    fake_agent_set(source, MOVE_GIVEN);
    answer_held(source);
    harness_wait(is_held, source, "the ending to wait");
    (void)g_timeout_add(1000, is_over, &has_passed);
    harness_wait(is_true, &has_passed, "the relay's patience");
    source->hold = NULL;
    answer_held(source);
    g_autoptr(JsonObject) document = harness_wait_final(harness, task);
    assert_true(source->got_verdict);
    assert_string_equal(text_of(document, "state"), "error");
}

/* That a peer was lost is no reason: the side that knows it gets a moment to say it. */
static void a_reason_that_comes_a_moment_later_still_wins(void **state)
{
    struct harness *harness = *state;
    struct fake_agent *destination = &harness->destination;
    harness->source.is_automatic = false;
    g_autofree char *task = harness_migrate(harness);
    g_autoptr(JsonObject) copying = harness_wait_phase(harness, task, "copy");
    harness_wait(is_followed, destination, "the destination to be followed");
    destination->hold = "GET";
    err_set(&fake_agent_move(&harness->source)->status.error, ERR_PEER_LOST, "connection-lost", "it broke");
    fake_agent_set(&harness->source, MOVE_FAILED);
    harness_wait(is_held, destination, "the ending to look");
    answer_held(destination);
    harness_wait(is_held, destination, "the ending to look again");
    assert_false(fake_agent_was_called(destination, "POST cancel"));
    struct err *reason = &fake_agent_move(destination)->status.error;
    err_set(reason, ERR_PEER_LOST, "qemu-died", "QEMU of VM web ended during the move");
    (void)err_arg(reason, "host", "h2");
    fake_agent_move(destination)->status.state = MOVE_FAILED;
    destination->hold = NULL;
    answer_held(destination);
    g_autoptr(JsonObject) document = harness_wait_final(harness, task);
    assert_string_equal(error_id_of(document), "qemu-died");
    JsonObject *error = json_object_get_object_member(document, "error");
    assert_string_equal(text_of(error, "side"), "destination");
    assert_string_equal(text_of(error, "phase"), "copy");
    assert_string_equal(text_of(json_object_get_object_member(error, "arguments"), "host"), "h2");
}

static void a_lost_destination_that_stays_silent_is_named(void **state)
{
    struct harness *harness = *state;
    harness->source.is_automatic = false;
    g_autofree char *task = harness_migrate(harness);
    g_autoptr(JsonObject) copying = harness_wait_phase(harness, task, "copy");
    fake_agent_freeze(&harness->destination);
    err_set(&fake_agent_move(&harness->source)->status.error, ERR_PEER_LOST, "connection-lost", "it broke");
    fake_agent_set(&harness->source, MOVE_FAILED);
    g_autoptr(JsonObject) document = harness_wait_final(harness, task);
    assert_string_equal(error_id_of(document), "connection-lost");
    JsonObject *error = json_object_get_object_member(document, "error");
    assert_string_equal(text_of(error, "cause"), "host 'h2' does not answer");
    assert_string_not_equal(text_of(error, "fix"), "");
    assert_null(fake_agent_move(&harness->source));
}

/* The guest is stopped and the other side is gone: nobody waits for the switch-over's limit. */
static void a_destination_that_fails_in_the_switch_over_ends_it(void **state)
{
    struct harness *harness = *state;
    harness->source.is_automatic = false;
    g_autofree char *task = harness_migrate(harness);
    g_autoptr(JsonObject) copying = harness_wait_phase(harness, task, "copy");
    fake_agent_set(&harness->source, MOVE_SWITCHING);
    g_autoptr(JsonObject) switching = harness_wait_phase(harness, task, "switch-over");
    err_set(&fake_agent_move(&harness->destination)->status.error, ERR_INTERNAL, "device-state-failed", "no");
    fake_agent_set(&harness->destination, MOVE_FAILED);
    g_autoptr(JsonObject) document = harness_wait_final(harness, task);
    assert_string_equal(error_id_of(document), "device-state-failed");
    assert_string_equal(text_of(json_object_get_object_member(document, "error"), "side"), "destination");
    assert_null(fake_agent_move(&harness->source));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, harness_setup, harness_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_move_goes_through_the_nine_phases_in_order),
        TEST(the_source_is_not_asked_before_the_destination_agreed),
        TEST(the_event_stream_shows_each_phase_in_order_and_ends),
        TEST(the_stored_events_tell_the_same_story),
        TEST(the_destinations_own_reason_wins_over_a_lost_peer),
        TEST(progress_of_the_copy_follows_what_was_sent),
        TEST(commit_and_verdict_are_relayed_when_the_jobs_lost_each_other),
        TEST(a_destination_that_returns_the_vm_ends_the_task_in_error),
        TEST(an_unknown_session_is_said_to_be_in_doubt),
        TEST(a_verdict_that_the_source_does_not_believe_is_said_to_be_in_doubt),
        TEST(a_source_that_is_silent_for_a_moment_still_gets_its_verdict),
        TEST(a_reason_that_comes_a_moment_later_still_wins),
        TEST(a_lost_destination_that_stays_silent_is_named),
        TEST(a_destination_that_fails_in_the_switch_over_ends_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
