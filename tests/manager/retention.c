/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "harness.h"
#include "store/statement.h"

#include <string.h>

#define DAY_MS (24ll * 60 * 60 * 1000)

static guint count(struct harness *harness, const char *path, const char *member)
{
    struct answer answer = harness_call(harness, "GET", path, NULL);
    assert_string_equal(answer.err.message, "");
    guint n = json_array_get_length(json_object_get_array_member(answer.object, member));
    answer_clear(&answer);
    return n;
}

/* While the manager is away. */
static void change_database(struct harness *harness, const char *sql, int64_t value)
{
    g_autofree char *path = g_build_filename(harness->folder, "state", "manager.db", NULL);
    struct db *db;
    struct err err = {0};
    assert_int_equal(db_open(path, &db, &err), 0);
    assert_int_equal(statement_run(db, sql, &err, "i", value), 0);
    db_close(db);
}

static bool few_are_left(void *user)
{
    return count(user, "/v1/events?limit=1000", "events") <= 100 && count(user, "/v1/tasks", "tasks") == 2;
}

static char *move_to(struct harness *harness, const char *host)
{
    g_autofree char *body = g_strdup_printf("{\"vm\":\"web\",\"destination\":\"%s\"}", host);
    struct answer answer = harness_call(harness, "POST", "/v1/migrations", body);
    assert_string_equal(answer.err.message, "");
    char *task = g_strdup(text_of(answer.object, "task"));
    answer_clear(&answer);
    return task;
}

static bool is_held(void *user)
{
    return ((struct fake_agent *)user)->held != NULL;
}

/* More than goes in one piece. */
static void too_much_history_goes_and_what_is_open_stays(void **state)
{
    struct harness *harness = *state;
    harness->destination.is_automatic = true;
    harness->destination.hold = "POST check";
    g_autofree char *open = move_to(harness, "h2");
    harness_wait(is_held, &harness->destination, "the check");
    harness_kill(harness);
    change_database(harness,
                    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 950)"
                    " INSERT INTO events (time_ms, kind, subject, type, text, document)"
                    " SELECT ?, 'vm', 'x', 'VmPoweredOnEvent', 'it runs', '{}' FROM n",
                    clock_wall_ms());
    change_database(harness,
                    "WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < 40)"
                    " INSERT INTO tasks (id, number, final, document, internals, ended_ms)"
                    " SELECT 't' || i, i, 1, '{\"task\":\"t\",\"state\":\"success\"}', '{}', ? FROM n",
                    clock_wall_ms());
    harness->destination.hold = NULL;
    http_reply(g_steal_pointer(&harness->destination.held), 200, NULL);
    harness->destination.hold = "POST check";
    harness_configure(harness, "[manager]\nevents_keep=100\ntasks_keep=1\n");
    harness_wait(few_are_left, harness, "the history to be short");
    g_autofree char *path = g_strdup_printf("/v1/tasks/%s", open);
    struct answer answer = harness_call(harness, "GET", path, NULL);
    assert_string_equal(answer.err.message, "");
    assert_false(!strcmp(text_of(answer.object, "state"), "success"));
    answer_clear(&answer);
    harness->destination.hold = NULL;
    harness_wait(is_held, &harness->destination, "the check");
    http_reply(g_steal_pointer(&harness->destination.held), 200, NULL);
    g_autoptr(JsonObject) moved = harness_wait_final(harness, open);
    assert_string_equal(text_of(moved, "state"), "success");
}

static bool nothing_old_is_left(void *user)
{
    return count(user, "/v1/events?until=2026-01-01", "events") == 0 &&
           count(user, "/v1/tasks", "tasks") == 1;
}

static void nothing_is_kept_for_longer_than_said(void **state)
{
    struct harness *harness = *state;
    g_autofree char *old = move_to(harness, "h2");
    g_autoptr(JsonObject) moved = harness_wait_final(harness, old);
    harness_kill(harness);
    change_database(harness, "UPDATE events SET time_ms = ?", 1000);
    change_database(harness, "UPDATE tasks SET ended_ms = ?", clock_wall_ms() - 3 * DAY_MS);
    change_database(harness,
                    "INSERT INTO tasks (id, number, final, document, internals, ended_ms)"
                    " VALUES ('t2', 2, 1, '{\"task\":\"t\",\"state\":\"success\"}', '{}', ?)",
                    clock_wall_ms() - DAY_MS);
    harness_configure(harness, "[manager]\ntasks_keep_days=2\n");
    harness_wait(nothing_old_is_left, harness, "the old history to go");
    g_autofree char *path = g_strdup_printf("/v1/tasks/%s", old);
    struct answer answer = harness_call(harness, "GET", path, NULL);
    assert_string_equal(answer.err.id, "task-not-found");
    assert_non_null(strstr(answer.err.cause, "not kept"));
    answer_clear(&answer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(too_much_history_goes_and_what_is_open_stays, harness_setup,
                                        harness_teardown),
        cmocka_unit_test_setup_teardown(nothing_is_kept_for_longer_than_said, harness_setup,
                                        harness_teardown),
    };
    return cmocka_run_group_tests_name("retention", tests, NULL, NULL);
}
