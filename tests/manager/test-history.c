/* SPDX-License-Identifier: Apache-2.0 */
/* Events and tasks in the database: asked for, upgraded, removed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "store/statement.h"

#include <glib.h>
#include <glib/gstdio.h>
#include <string.h>

struct store {
    char *folder;
    char *path;
    struct db *db;
};

static int setup(void **state)
{
    struct store *store = g_new0(struct store, 1);
    struct err err = {0};
    store->folder = g_dir_make_tmp("manager-history-XXXXXX", NULL);
    store->path = g_build_filename(store->folder, "test.db", NULL);
    assert_int_equal(db_open(store->path, &store->db, &err), 0);
    *state = store;
    return 0;
}

static int teardown(void **state)
{
    struct store *store = *state;
    static const char *const files[] = {"test.db", "test.db-wal", "test.db-shm",
                                        "old.db",  "old.db-wal",  "old.db-shm"};
    db_close(store->db);
    for (unsigned i = 0; i < G_N_ELEMENTS(files); i++) {
        g_autofree char *path = g_build_filename(store->folder, files[i], NULL);
        (void)g_unlink(path);
    }
    (void)g_rmdir(store->folder);
    g_free(store->path);
    g_free(store->folder);
    g_free(store);
    return 0;
}

static const char uuid_a[] = "00000000-0000-4000-8000-00000000000a";
static const char uuid_b[] = "00000000-0000-4000-8000-00000000000b";

/* Each value of one with each of the others. */
static void add_events(struct db *db)
{
    static const char *const users[] = {NULL, "ann", "bob"};
    static const char *const hosts[] = {NULL, "h1", "h2"};
    struct err err = {0};
    uint64_t id;
    for (unsigned i = 0; i < 3 * 3 * 3 * 2 * 3 * 2; i++) {
        bool is_a = i / 27 % 2 == 0;
        const struct db_event event = {
            .time_ms = 1000 + i,
            .kind = "vm",
            .subject = "x",
            .type = i / 162 % 2 ? "VmPoweredOnEvent" : "VmPoweredOffEvent",
            .severity = i / 54 % 3,
            .user = users[i % 3],
            .vm = is_a ? "a" : "b",
            .vm_uuid = is_a ? uuid_a : uuid_b,
            .host = hosts[i / 3 % 3],
            .destination = hosts[i / 9 % 3],
            .task = is_a ? uuid_b : NULL,
            .text = "it is so",
            .document = "{}",
        };
        assert_int_equal(db_event_add(db, &event, &id, &err), 0);
    }
}

struct counting {
    const struct db_event_filter *filter;
    unsigned n_listed, n_matching;
};

static void count_listed(const struct db_event *event, void *user)
{
    struct counting *counting = user;
    assert_true(db_event_matches(counting->filter, event));
    counting->n_listed++;
}

static void count_matching(const struct db_event *event, void *user)
{
    struct counting *counting = user;
    counting->n_matching += db_event_matches(counting->filter, event);
}

static void what_is_stored_and_what_is_live_match_alike(void **state)
{
    struct store *store = *state;
    add_events(store->db);
    const struct db_event_filter all = {.limit = 1000};
    const struct db_event_filter filters[] = {
        {.limit = 1000},
        {.vm = "a", .limit = 1000},
        {.vm = "00000000-0000-4000-8000-00000000000b", .limit = 1000},
        {.vm = "nobody", .limit = 1000},
        {.host = "h1", .limit = 1000},
        {.host = "h2", .since_ms = 1050, .until_ms = 1200, .limit = 1000},
        {.task = "00000000-0000-4000-8000-00000000000b", .host = "h1", .severity = 1, .limit = 1000},
        {.task = "00000000-0000-4000-8000-00000000000b", .limit = 1000},
        {.type = "VmPoweredOnEvent", .limit = 1000},
        {.user = "ann", .limit = 1000},
        {.severity = 1, .limit = 1000},
        {.severity = 2, .limit = 1000},
        {.since_ms = 1100, .limit = 1000},
        {.until_ms = 1100, .limit = 1000},
        {.since_ms = 1050,
         .until_ms = 1100,
         .vm = "b",
         .host = "h2",
         .user = "bob",
         .severity = 1,
         .limit = 1000},
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(filters); i++) {
        struct counting counting = {&filters[i], 0, 0};
        struct err err = {0};
        assert_int_equal(db_event_list(store->db, &filters[i], count_listed, &counting, &err), 0);
        assert_int_equal(db_event_list(store->db, &all, count_matching, &counting, &err), 0);
        assert_int_equal(counting.n_listed, counting.n_matching);
        assert_int_equal(counting.n_listed == 324, i == 0);
        assert_int_equal(counting.n_listed == 0, i == 3);
    }
}

struct ids {
    unsigned n;
    uint64_t first, last;
};

static void note_id(const struct db_event *event, void *user)
{
    struct ids *ids = user;
    if (!ids->n++)
        ids->first = event->id;
    assert_true(event->id > ids->last);
    ids->last = event->id;
}

static void assert_ids(struct db *db, const struct db_event_filter *filter, uint64_t first, uint64_t last)
{
    struct ids ids = {0};
    struct err err = {0};
    assert_int_equal(db_event_list(db, filter, note_id, &ids, &err), 0);
    assert_int_equal(ids.n, last - first + 1);
    assert_int_equal(ids.first, first);
    assert_int_equal(ids.last, last);
}

static void a_page_is_the_first_or_the_newest(void **state)
{
    struct store *store = *state;
    add_events(store->db);
    assert_ids(store->db, &(struct db_event_filter){.limit = 10}, 1, 10);
    assert_ids(store->db, &(struct db_event_filter){.limit = 10, .after = 10}, 11, 20);
    assert_ids(store->db, &(struct db_event_filter){.limit = 10, .is_newest = true}, 315, 324);
    assert_ids(store->db, &(struct db_event_filter){.limit = 10, .is_newest = true, .before = 315}, 305, 314);
}

static void old_events_go_a_few_at_a_time(void **state)
{
    struct store *store = *state;
    struct err err = {0};
    add_events(store->db);
    struct db_retention retention = {.keep = 300, .oldest_ms = 0, .limit = 20};
    assert_int_equal(db_event_prune(store->db, &retention, &err), 20);
    assert_int_equal(db_event_prune(store->db, &retention, &err), 4);
    assert_int_equal(db_event_prune(store->db, &retention, &err), 0);
    assert_ids(store->db, &(struct db_event_filter){.limit = 1000}, 25, 324);
    retention.oldest_ms = 1000 + 30;
    assert_int_equal(db_event_prune(store->db, &retention, &err), 6);
    assert_ids(store->db, &(struct db_event_filter){.limit = 1000}, 31, 324);
}

static void add_task(struct db *db, uint64_t number, bool is_over)
{
    g_autofree char *id = g_strdup_printf("00000000-0000-4000-8000-%012u", (unsigned)number);
    struct err err = {0};
    const struct db_task task = {
        .id = id,
        .number = number,
        .final = is_over,
        .document = "{}",
        .timeline = "[]",
        .internals = "{}",
        .state = is_over ? "success" : "running",
        .vm = number % 2 ? "a" : "b",
        .vm_uuid = number % 2 ? uuid_a : uuid_b,
        .source = number % 3 ? "h1" : "h2",
        .destination = number % 3 ? "h2" : "h3",
        .user = number % 2 ? "ann" : "bob",
        .created_ms = (int64_t)(1000 * number),
        .ended_ms = is_over ? (int64_t)(1000 * number + 500) : 0,
    };
    assert_int_equal(db_task_put(db, &task, &err), 0);
}

static void collect(const struct db_task *task, void *user)
{
    assert_null(task->timeline);
    g_string_append_printf(user, "%u ", (unsigned)task->number);
}

static void assert_tasks(struct db *db, const struct db_task_filter *filter, const char *numbers)
{
    g_autoptr(GString) found = g_string_new(NULL);
    struct err err = {0};
    assert_int_equal(db_task_list(db, filter, collect, found, &err), 0);
    assert_string_equal(found->str, numbers);
}

static void tasks_are_found_by_what_they_are_about(void **state)
{
    struct store *store = *state;
    for (uint64_t number = 1; number <= 8; number++)
        add_task(store->db, number, number != 3 && number != 7);
    struct db *db = store->db;
    assert_tasks(db, &(struct db_task_filter){.limit = 100}, "8 7 6 5 4 3 2 1 ");
    assert_tasks(db, &(struct db_task_filter){.limit = 2}, "8 7 ");
    assert_tasks(db, &(struct db_task_filter){.limit = 2, .before = "00000000-0000-4000-8000-000000000007"},
                 "6 5 ");
    assert_tasks(db, &(struct db_task_filter){.limit = 9, .vm = "a"}, "7 5 3 1 ");
    assert_tasks(db, &(struct db_task_filter){.limit = 9, .vm = "00000000-0000-4000-8000-00000000000b"},
                 "8 6 4 2 ");
    assert_tasks(db, &(struct db_task_filter){.limit = 9, .host = "h3"}, "6 3 ");
    assert_tasks(db, &(struct db_task_filter){.limit = 9, .host = "h2", .user = "ann"}, "7 5 3 1 ");
    assert_tasks(db, &(struct db_task_filter){.limit = 9, .state = "running"}, "7 3 ");
    assert_tasks(db, &(struct db_task_filter){.limit = 9, .since_ms = 3000, .until_ms = 5000}, "5 4 3 ");
}

static void a_task_that_is_not_over_is_never_removed(void **state)
{
    struct store *store = *state;
    struct err err = {0};
    for (uint64_t number = 1; number <= 8; number++)
        add_task(store->db, number, number != 3 && number != 7);
    struct db_retention retention = {.keep = 2, .limit = 3};
    assert_int_equal(db_task_prune(store->db, &retention, &err), 3);
    assert_int_equal(db_task_prune(store->db, &retention, &err), 2);
    assert_int_equal(db_task_prune(store->db, &retention, &err), 0);
    assert_tasks(store->db, &(struct db_task_filter){.limit = 100}, "8 7 3 ");
    retention.oldest_ms = 1000000;
    assert_int_equal(db_task_prune(store->db, &retention, &err), 1);
    assert_tasks(store->db, &(struct db_task_filter){.limit = 100}, "7 3 ");
}

/* ---- the schema before ---- */

static void note_event(const struct db_event *event, void *user)
{
    g_string_append_printf(user, "%s %s vm=%s host=%s user=%s task=%s error=%s: %s\n", event->kind,
                           event->type, event->vm ? event->vm : "", event->host ? event->host : "",
                           event->user ? event->user : "", event->task ? event->task : "",
                           event->error ? event->error : "", event->text);
}

static void note_task(const struct db_task *task, void *user)
{
    g_string_append_printf(user, "%s %s\n", task->document, task->timeline ? task->timeline : "-");
}

static void a_database_of_the_version_before_keeps_its_history(void **state)
{
    struct store *store = *state;
    g_autofree char *path = g_build_filename(store->folder, "old.db", NULL);
    const struct schema before = {schema_current.steps, 4};
    struct db *db;
    struct err err = {0};
    assert_int_equal(db_open_schema(path, &before, &db, &err), 0);
    static const char old[] =
        "INSERT INTO tasks VALUES ('t1', 1, NULL, 1, "
        "'{\"task\":\"t1\",\"state\":\"error\",\"vm\":\"web\",\"vm_uuid\":\"u\",\"source\":\"h1\","
        "\"destination\":\"h2\",\"user\":\"ann\",\"created\":\"2026-11-23T01:29:38.069Z\",\"ended\":\"2026-"
        "11-23T01:29:40.100Z\","
        "\"downtime_ms\":39.083,\"timeline\":[{\"event\":\"asked\"}]}', '{\"story\":{}}');"
        "INSERT INTO tasks VALUES ('t0', 2, NULL, 0, 'damaged', '{}');"
        "INSERT INTO events (time_ms, kind, subject, document) VALUES"
        " (1, 'task', 't1', "
        "'{\"task\":\"t1\",\"state\":\"error\",\"phase\":\"copy\",\"vm\":\"web\",\"source\":\"h1\","
        "\"destination\":\"h2\",\"user\":\"ann\","
        "\"error\":{\"message\":\"it broke\"}}'),"
        " (2, 'vm', 'u', '{\"state\":\"running\",\"host\":\"h1\",\"spec\":{\"name\":\"web\"}}'),"
        " (3, 'host', 'h1', '{\"state\":\"connected\"}'),"
        " (4, 'audit', 'u', '{\"vm\":\"web\",\"user\":\"ann\",\"owner\":\"h2\",\"text\":\"host h2 owns VM "
        "web\"}'),"
        " (5, 'pool', 'prod', '{\"state\":\"removed\"}'), (6, 'vm', 'x', 'damaged');";
    assert_int_equal(sqlite3_exec(db_connection(db), old, NULL, NULL, NULL), SQLITE_OK);
    db_close(db);
    assert_int_equal(db_open(path, &db, &err), 0);
    g_autoptr(GString) events = g_string_new(NULL);
    assert_int_equal(db_event_list(db, &(struct db_event_filter){.limit = 10}, note_event, events, &err), 0);
    assert_string_equal(
        events->str,
        "task VmFailedMigrateEvent vm=web host=h1 user=ann task=t1 error={\"message\":\"it broke\"}: "
        "VM 'web' from host 'h1' to host 'h2': error, it broke\n"
        "vm VmPoweredOnEvent vm=web host=h1 user= task= error=: VM 'web' is running on host 'h1'\n"
        "host HostConnectedEvent vm= host=h1 user= task= error=: host 'h1' is connected\n"
        "audit VmOwnershipSettledEvent vm=web host=h2 user=ann task= error=: VM 'web': host h2 owns VM web\n"
        "pool ResourcePoolDestroyedEvent vm= host= user= task= error=: pool 'prod' is removed\n"
        "vm VmDisconnectedEvent vm= host= user= task= error=: VM 'x' is  on host ''\n");
    g_autoptr(GString) task = g_string_new(NULL);
    assert_int_equal(db_task_get(db, "t1", note_task, task, &err), 1);
    assert_null(strstr(task->str, "timeline"));
    assert_non_null(strstr(task->str, "39.083"));
    assert_non_null(strstr(task->str, "} [{\"event\":\"asked\"}]\n"));
    /* 01:29:38.069, to the millisecond. */
    assert_tasks(db,
                 &(struct db_task_filter){.limit = 10,
                                          .vm = "web",
                                          .host = "h2",
                                          .user = "ann",
                                          .state = "error",
                                          .since_ms = 1795397378069,
                                          .until_ms = 1795397378069},
                 "1 ");
    db_close(db);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_stored_and_what_is_live_match_alike, setup, teardown),
        cmocka_unit_test_setup_teardown(a_page_is_the_first_or_the_newest, setup, teardown),
        cmocka_unit_test_setup_teardown(old_events_go_a_few_at_a_time, setup, teardown),
        cmocka_unit_test_setup_teardown(tasks_are_found_by_what_they_are_about, setup, teardown),
        cmocka_unit_test_setup_teardown(a_task_that_is_not_over_is_never_removed, setup, teardown),
        cmocka_unit_test_setup_teardown(a_database_of_the_version_before_keeps_its_history, setup, teardown),
    };
    return cmocka_run_group_tests_name("history", tests, NULL, NULL);
}
