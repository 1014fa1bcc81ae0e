/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "harness.h"

#include <string.h>

static bool is_followed(void *user)
{
    return fake_agent_move(user)->poll != NULL;
}

static char *copy(struct harness *harness)
{
    harness->source.is_automatic = false;
    char *task = harness_migrate(harness);
    g_autoptr(JsonObject) copying = harness_wait_phase(harness, task, "copy");
    return task;
}

static JsonObject *find_line(JsonObject *task, const char *event)
{
    JsonArray *lines = json_object_get_array_member(task, "timeline");
    for (guint i = 0; i < json_array_get_length(lines); i++)
        if (!strcmp(text_of(json_array_get_object_element(lines, i), "event"), event))
            return json_array_get_object_element(lines, i);
    fail_msg("there is no '%s'", event);
    return NULL;
}

/* Of a whole task: ordered, within its life, and each event once and in this order among the others. */
static void assert_story(JsonObject *task, const char *const *events)
{
    JsonArray *lines = json_object_get_array_member(task, "timeline");
    const char *last = text_of(task, "created");
    unsigned found = 0;
    for (guint i = 0; i < json_array_get_length(lines); i++) {
        JsonObject *line = json_array_get_object_element(lines, i);
        const char *time = text_of(line, "time");
        /* Texts of one form and one zone compare as the times do. What is asked is asked before it is
         * created. */
        assert_true(!i || strcmp(time, last) >= 0);
        last = time;
        if (events[found] && !strcmp(text_of(line, "event"), events[found]))
            found++;
    }
    if (events[found])
        fail_msg("'%s' is missing or out of order", events[found]);
    assert_true(strcmp(last, text_of(task, "ended")) >= 0);
}

static const char *const story[] = {"asked",         "vm held",        "shell started",
                                    "guest stopped", "READY released", "READY received",
                                    "guest runs",    "over",           NULL};

/* The source, its peer, and again the source: seen in this order whatever their clocks say. */
static void play(struct harness *harness)
{
    struct fake_agent *source = &harness->source;
    struct fake_agent *destination = &harness->destination;
    fake_agent_note(source, "vm held");
    fake_agent_note(destination, "shell started");
    fake_agent_note(source, "guest stopped");
    fake_agent_note(destination, "READY released");
    fake_agent_note(source, "READY received");
    fake_agent_note(destination, "guest runs");
}

static bool is_an_hour_ahead(void *user)
{
    struct answer answer = harness_call(user, "GET", "/v1/hosts/h2", NULL);
    gint64 ahead = json_object_get_int_member_with_default(answer.object, "clock_offset_ms", 0);
    answer_clear(&answer);
    return ahead > 3500000 && ahead < 3700000;
}

static void both_hosts_and_the_manager_share_one_timeline(void **state)
{
    struct harness *harness = *state;
    g_autofree char *task = copy(harness);
    play(harness);
    fake_agent_finish_pair(&harness->source);
    g_autoptr(JsonObject) document = harness_wait_final(harness, task);
    assert_string_equal(text_of(document, "state"), "success");
    assert_story(document, story);
    JsonObject *line = find_line(document, "READY released");
    assert_string_equal(text_of(line, "side"), "destination");
    assert_string_equal(text_of(line, "host"), "h2");
    assert_string_equal(text_of(line, "detail"), "fake");
    line = find_line(document, "asked");
    assert_string_equal(text_of(line, "side"), "manager");
    assert_string_equal(text_of(line, "host"), "");
}

static void a_host_with_another_time_is_put_right(void **state)
{
    struct harness *harness = *state;
    struct answer before = harness_call(harness, "GET", "/v1/hosts/h2", NULL);
    assert_int_equal(json_object_get_int_member(before.object, "clock_offset_ms"), 0);
    answer_clear(&before);
    harness->destination.clock_ahead_ms = 3600000;
    harness_wait(is_an_hour_ahead, harness, "the difference to be measured");
    g_autofree char *task = copy(harness);
    play(harness);
    fake_agent_finish_pair(&harness->source);
    g_autoptr(JsonObject) document = harness_wait_final(harness, task);
    /* As exact as the measurement; an hour it is not. */
    const char *runs = text_of(find_line(document, "guest runs"), "time");
    g_autoptr(GDateTime) at = g_date_time_new_from_iso8601(runs, NULL);
    g_autoptr(GDateTime) end = g_date_time_new_from_iso8601(text_of(document, "ended"), NULL);
    assert_true(ABS(g_date_time_difference(at, end)) < 10 * G_TIME_SPAN_MINUTE);
}

static void the_timeline_survives_the_end_and_restarts(void **state)
{
    struct harness *harness = *state;
    g_autofree char *task = copy(harness);
    play(harness);
    fake_agent_set(&harness->source, MOVE_COPYING);
    fake_agent_set(&harness->destination, MOVE_COPYING);
    harness_wait(is_followed, &harness->source, "the source to be followed");
    harness_wait(is_followed, &harness->destination, "the destination to be followed");
    fake_agent_set(&harness->source, MOVE_SWITCHING);
    g_autoptr(JsonObject) switching = harness_wait_phase(harness, task, "switch-over");
    harness_kill(harness);
    /* Agents that were restarted too know only what has happened since. */
    fake_agent_move(&harness->source)->status.timeline.n_events = 0;
    fake_agent_move(&harness->destination)->status.timeline.n_events = 0;
    harness_start(harness);
    fake_agent_note(&harness->source, "GONE durable");
    fake_agent_finish_pair(&harness->source);
    g_autoptr(JsonObject) document = harness_wait_final(harness, task);
    static const char *const whole[] = {"asked",          "vm held",        "shell started",
                                        "READY released", "READY received", "guest runs",
                                        "GONE durable",   "over",           NULL};
    assert_story(document, whole);
    harness_kill(harness);
    harness_start(harness);
    g_autoptr(JsonObject) again = harness_wait_final(harness, task);
    assert_story(again, whole);
}

static void a_cancel_and_what_it_led_to_are_in_it(void **state)
{
    struct harness *harness = *state;
    g_autofree char *task = copy(harness);
    g_autofree char *path = g_strdup_printf("/v1/tasks/%s/cancel", task);
    struct answer answer = harness_call(harness, "POST", path, NULL);
    answer_clear(&answer);
    g_autoptr(JsonObject) document = harness_wait_final(harness, task);
    static const char *const events[] = {"asked", "cancel asked", "ending", "over", NULL};
    assert_story(document, events);
    assert_string_equal(text_of(find_line(document, "cancel asked"), "detail"), "in phase copy");
    assert_string_equal(text_of(find_line(document, "over"), "detail"), "cancelled");
}

/* A side that reports without end fills its part and no more; the newest is kept. */
static void it_is_bounded(void **state)
{
    struct harness *harness = *state;
    g_autofree char *task = copy(harness);
    for (unsigned i = 0; i < 3 * MOVE_EVENTS_MAX; i++)
        fake_agent_note(&harness->source, "noise");
    fake_agent_note(&harness->source, "guest stopped");
    fake_agent_finish_pair(&harness->source);
    g_autoptr(JsonObject) document = harness_wait_final(harness, task);
    JsonArray *lines = json_object_get_array_member(document, "timeline");
    unsigned of_source = 0;
    for (guint i = 0; i < json_array_get_length(lines); i++)
        of_source += !strcmp(text_of(json_array_get_object_element(lines, i), "side"), "source");
    assert_int_equal(of_source, MOVE_EVENTS_MAX);
    (void)find_line(document, "guest stopped");
}

static void add_step(struct fake_agent *agent, const char *step, uint64_t us)
{
    struct move_status *status = &fake_agent_move(agent)->status;
    struct move_step *at = &status->switch_over[status->n_switch_over++];
    (void)g_strlcpy(at->step, step, sizeof at->step);
    at->us = us;
}

/* Each host counts from a moment of its own; READY is one moment for both. */
static void the_switch_over_is_told_step_by_step(void **state)
{
    struct harness *harness = *state;
    g_autofree char *task = copy(harness);
    add_step(&harness->source, "guest stopped", 1000);
    add_step(&harness->source, "READY received", 9000);
    add_step(&harness->source, "RUNNING received", 12000);
    add_step(&harness->destination, "memory complete", 1);
    add_step(&harness->destination, "READY sent", 5001);
    add_step(&harness->destination, "guest runs", 7501);
    fake_agent_set(&harness->source, MOVE_COPYING);
    fake_agent_set(&harness->destination, MOVE_COPYING);
    harness_wait(is_followed, &harness->source, "the source to be followed");
    harness_wait(is_followed, &harness->destination, "the destination to be followed");
    fake_agent_finish_pair(&harness->source);
    g_autoptr(JsonObject) document = harness_wait_final(harness, task);
    static const struct {
        const char *side, *step;
        gint64 us;
    } steps[] = {{"source", "guest stopped", 1000},    {"destination", "memory complete", 4000},
                 {"source", "READY received", 9000},   {"destination", "READY sent", 9000},
                 {"destination", "guest runs", 11500}, {"source", "RUNNING received", 12000}};
    JsonArray *list = json_object_get_array_member(document, "switch_over");
    assert_int_equal(json_array_get_length(list), G_N_ELEMENTS(steps));
    for (guint i = 0; i < G_N_ELEMENTS(steps); i++) {
        JsonObject *step = json_array_get_object_element(list, i);
        assert_string_equal(text_of(step, "side"), steps[i].side);
        assert_string_equal(text_of(step, "step"), steps[i].step);
        assert_int_equal(json_object_get_int_member(step, "us"), steps[i].us);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, harness_setup, harness_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(both_hosts_and_the_manager_share_one_timeline), TEST(a_host_with_another_time_is_put_right),
        TEST(the_timeline_survives_the_end_and_restarts),    TEST(a_cancel_and_what_it_led_to_are_in_it),
        TEST(the_switch_over_is_told_step_by_step),          TEST(it_is_bounded),
    };
    return cmocka_run_group_tests_name("timeline", tests, NULL, NULL);
}
