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

/* More than a page and, at a kilobyte each, more than a stream may leave unread. */
#define STORED 2500

struct reader {
    struct harness *harness;
    gint64 last;   /* id; -1: the order was broken */
    gint is_there; /* all stored events have come */
    gint is_over;
};

static bool note_event(const char *name, JsonObject *object, void *user)
{
    struct reader *reader = user;
    gint64 id = json_object_get_int_member_with_default(object, "id", 0);
    bool is_next = id == reader->last + 1;
    reader->last = is_next ? id : -1;
    if (id >= STORED)
        g_atomic_int_set(&reader->is_there, 1);
    g_main_context_wakeup(NULL);
    return is_next && strcmp(name, "host") != 0;
}

static void *read_all(void *user)
{
    struct reader *reader = user;
    struct err err = {0};
    if (http_client_events_sync(reader->harness->client, "/v1/events?since=0", note_event, reader, &err))
        g_printerr("events: %s\n", err.message);
    g_atomic_int_set(&reader->is_over, 1);
    g_main_context_wakeup(NULL);
    return NULL;
}

static bool is_there(void *user)
{
    struct reader *reader = user;
    return g_atomic_int_get(&reader->is_there) || g_atomic_int_get(&reader->is_over);
}

static bool is_over(void *user)
{
    return g_atomic_int_get(&((struct reader *)user)->is_over);
}

static void store_events(struct harness *harness)
{
    g_autofree char *path = g_build_filename(harness->folder, "state", "manager.db", NULL);
    struct db *db;
    struct err err = {0};
    assert_int_equal(db_open(path, &db, &err), 0);
    /* That the harness made its token. */
    assert_int_equal(statement_run(db, "DELETE FROM events", &err, ""), 0);
    assert_int_equal(
        statement_run(db,
                      "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)"
                      " INSERT INTO events (id, time_ms, kind, subject, type, text, document)"
                      " SELECT i, ?, 'vm', 'x', 'VmPoweredOnEvent', 'it runs', '{\"pad\":\"' || "
                      "hex(zeroblob(512)) || '\"}' FROM n",
                      &err, "ii", (int64_t)STORED, clock_wall_ms()),
        0);
    db_close(db);
}

static void a_late_follower_misses_no_event(void **state)
{
    struct harness *harness = *state;
    harness_kill(harness);
    store_events(harness);
    harness_start(harness);
    struct reader reader = {.harness = harness};
    GThread *thread = g_thread_new("reader", read_all, &reader);
    harness_wait(is_there, &reader, "the stored events");
    /* And now a live one. */
    struct answer added =
        harness_call(harness, "POST", "/v1/hosts", "{\"name\":\"h3\",\"address\":\"127.0.0.1\"}");
    assert_false(err_is_set(&added.err));
    answer_clear(&added);
    harness_wait(is_over, &reader, "the event of the new host");
    (void)g_thread_join(thread);
    assert_int_equal(reader.last, STORED + 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_late_follower_misses_no_event, harness_setup_bare,
                                        harness_teardown),
    };
    return cmocka_run_group_tests_name("events", tests, NULL, NULL);
}
