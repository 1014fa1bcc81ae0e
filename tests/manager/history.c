/* SPDX-License-Identifier: Apache-2.0 */
/* What happened can be read afterwards: who, what, when and why, in one text for everyone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "harness.h"
#include "store/statement.h"

#include <string.h>

static JsonArray *list(struct harness *harness, const char *path, const char *member)
{
    struct answer answer = harness_call(harness, "GET", path, NULL);
    assert_string_equal(answer.err.message, "");
    JsonArray *array = json_array_ref(json_object_get_array_member(answer.object, member));
    answer_clear(&answer);
    return array;
}

static JsonArray *events_of(struct harness *harness, const char *query)
{
    g_autofree char *path = g_strdup_printf("/v1/events?%s", query);
    return list(harness, path, "events");
}

static JsonArray *events_of_task(struct harness *harness, const char *task)
{
    g_autofree char *query = g_strdup_printf("task=%s", task);
    return events_of(harness, query);
}

/* The only one of that type, or NULL. */
static JsonObject *find(JsonArray *events, const char *type)
{
    JsonObject *found = NULL;
    for (guint i = 0; i < json_array_get_length(events); i++) {
        JsonObject *event = json_array_get_object_element(events, i);
        if (strcmp(text_of(event, "type"), type) != 0)
            continue;
        assert_null(found);
        found = event;
    }
    return found;
}

static void assert_same(JsonObject *one, JsonObject *other, const char *member)
{
    JsonNode *left = json_object_get_member(one, member);
    JsonNode *right = json_object_get_member(other, member);
    assert_true(left && right && json_node_equal(left, right));
}

static void assert_texts(JsonObject *event, const char *severity, const char *user, const char *text)
{
    assert_string_equal(text_of(event, "severity"), severity);
    assert_string_equal(text_of(event, "user"), user);
    assert_string_equal(text_of(event, "text"), text);
}

static void a_move_is_told_from_its_request_to_its_figures(void **state)
{
    static const char *const story[] = {
        "VmMigrationRequestedEvent", "VmBeingHotMigratedEvent", "VmMigrationPhaseEvent", "VmEmigratingEvent",
        "VmSwitchOverEvent",         "VmHandedOverEvent",       "VmMigratedEvent",       NULL};
    struct harness *harness = *state;
    g_autofree char *task = harness_migrate(harness);
    g_autoptr(JsonObject) document = harness_wait_final(harness, task);
    g_autoptr(JsonArray) events = events_of_task(harness, task);
    unsigned next = 0;
    for (guint i = 0; i < json_array_get_length(events); i++) {
        JsonObject *event = json_array_get_object_element(events, i);
        assert_string_equal(text_of(event, "task"), task);
        assert_string_equal(text_of(event, "vm"), "web");
        assert_string_equal(text_of(event, "vm_uuid"), text_of(document, "vm_uuid"));
        if (story[next] && !strcmp(text_of(event, "type"), story[next]))
            next++;
    }
    if (story[next])
        fail_msg("%s is missing or out of order", story[next]);
    JsonObject *requested = find(events, "VmMigrationRequestedEvent");
    assert_texts(requested, "info", "admin",
                 "the migration of VM 'web' from host 'h1' to host 'h2' was requested by 'admin'");
    JsonObject *migrated = find(events, "VmMigratedEvent");
    JsonObject *figures = json_object_get_object_member(migrated, "figures");
    static const char *const members[] = {"duration_ms", "downtime_ms", "stun_us", "bytes_on_wire",
                                          "throughput_mb_s"};
    for (unsigned i = 0; i < G_N_ELEMENTS(members); i++)
        assert_same(figures, document, members[i]);
    assert_int_equal(json_object_get_int_member(figures, "rounds"),
                     json_array_get_length(json_object_get_array_member(document, "rounds")));
    assert_true(json_object_get_null_member(migrated, "error"));
}

static void a_failure_has_the_error_of_its_task(void **state)
{
    struct harness *harness = *state;
    harness->destination.refuse = "POST check";
    g_autofree char *task = harness_migrate(harness);
    g_autoptr(JsonObject) document = harness_wait_final(harness, task);
    g_autoptr(JsonArray) events = events_of_task(harness, task);
    JsonObject *failed = find(events, "VmFailedMigrateEvent");
    assert_non_null(failed);
    assert_string_equal(text_of(failed, "severity"), "error");
    assert_same(failed, document, "error");
    JsonObject *error = json_object_get_object_member(document, "error");
    assert_non_null(strstr(text_of(failed, "text"), text_of(error, "message")));
    assert_same(json_object_get_object_member(failed, "figures"), document, "duration_ms");
}

static void a_cancel_says_who_asked_for_it(void **state)
{
    struct harness *harness = *state;
    harness->source.is_automatic = false;
    g_autofree char *task = harness_migrate(harness);
    g_autoptr(JsonObject) copying = harness_wait_phase(harness, task, "copy");
    g_autofree char *path = g_strdup_printf("/v1/tasks/%s/cancel", task);
    struct answer asked = harness_call(harness, "POST", path, NULL);
    assert_string_equal(asked.err.message, "");
    answer_clear(&asked);
    g_autoptr(JsonObject) document = harness_wait_final(harness, task);
    assert_string_equal(text_of(json_object_get_object_member(document, "error"), "cause"),
                        "'admin' asked for it");
    g_autoptr(JsonArray) events = events_of_task(harness, task);
    assert_texts(find(events, "VmMigrationCancelRequestedEvent"), "info", "admin",
                 "the migration of VM 'web' from host 'h1' to host 'h2' is to be cancelled, in the phase "
                 "copy, says 'admin'");
    assert_non_null(find(events, "VmMigrationEndingEvent"));
    JsonObject *cancelled = find(events, "VmMigrationCancelledEvent");
    assert_string_equal(text_of(cancelled, "user"), "admin");
    assert_same(cancelled, document, "error");
}

struct expected {
    struct harness *harness;
    const char *query;
};

static bool is_told(void *user)
{
    struct expected *expected = user;
    g_autoptr(JsonArray) events = events_of(expected->harness, expected->query);
    return json_array_get_length(events) == 1;
}

static void what_holds_a_copy_up_is_told_once(void **state)
{
    struct harness *harness = *state;
    struct fake_agent *source = &harness->source;
    source->is_automatic = false;
    g_autofree char *task = harness_migrate(harness);
    g_autoptr(JsonObject) copying = harness_wait_phase(harness, task, "copy");
    fake_agent_note(source, "connections lost");
    fake_agent_set(source, MOVE_COPYING);
    struct expected outage = {harness, "type=VmMigrationOutageEvent"};
    harness_wait(is_told, &outage, "the outage");
    fake_agent_note(source, "copy resumed");
    fake_agent_note(source, "guest throttled");
    fake_agent_set(source, MOVE_COPYING);
    struct expected resumed = {harness, "type=VmMigrationResumedEvent"};
    harness_wait(is_told, &resumed, "the copy to go on");
    struct expected throttled = {harness, "type=VmThrottledEvent&severity=info&vm=web"};
    harness_wait(is_told, &throttled, "the guest to be held up");
    assert_true(is_told(&outage));
}

static void a_request_that_is_refused_is_history_too(void **state)
{
    struct harness *harness = *state;
    struct answer refused =
        harness_call(harness, "POST", "/v1/migrations", "{\"vm\":\"web\",\"destination\":\"h1\"}");
    assert_true(err_is_set(&refused.err));
    answer_clear(&refused);
    g_autoptr(JsonArray) events = events_of(harness, "type=VmMigrationRefusedEvent&vm=web");
    assert_int_equal(json_array_get_length(events), 1);
    JsonObject *event = json_array_get_object_element(events, 0);
    JsonObject *error = json_object_get_object_member(event, "error");
    assert_string_equal(text_of(error, "id"), refused.err.id);
    assert_string_equal(text_of(error, "message"), refused.err.message);
    assert_non_null(strstr(text_of(event, "text"), refused.err.message));
    assert_string_equal(text_of(event, "user"), "admin");
    assert_true(json_object_get_null_member(event, "task"));
}

static void call(struct harness *harness, const char *method, const char *path, const char *body)
{
    struct answer answer = harness_call(harness, method, path, body);
    assert_string_equal(answer.err.message, "");
    answer_clear(&answer);
}

static void what_is_done_to_a_vm_names_who_had_it_done(void **state)
{
    struct harness *harness = *state;
    call(harness, "POST", "/v1/vms/web/stop", "{\"force\":true}");
    call(harness, "PATCH", "/v1/vms/web", "{\"name\":\"shop\",\"memory_mib\":128}");
    call(harness, "POST", "/v1/vms/shop/start", NULL);
    g_autoptr(JsonArray) events = events_of(harness, "user=admin&host=h1");
    assert_texts(find(events, "VmStoppingEvent"), "info", "admin",
                 "VM 'web' on host 'h1' is being switched off by 'admin'");
    assert_texts(find(events, "VmPoweredOffEvent"), "info", "admin",
                 "VM 'web' is off on host 'h1' by 'admin'");
    assert_texts(find(events, "VmRenamedEvent"), "info", "admin",
                 "VM 'web' on host 'h1' was renamed to 'shop' by 'admin'");
    assert_texts(find(events, "VmReconfiguredEvent"), "info", "admin",
                 "VM 'shop' on host 'h1' was changed by 'admin': memory_mib");
    assert_texts(find(events, "VmStartingEvent"), "info", "admin",
                 "VM 'shop' is starting on host 'h1' by 'admin'");
    assert_texts(find(events, "VmPoweredOnEvent"), "info", "admin", "VM 'shop' runs on host 'h1' by 'admin'");
    /* What nobody asked for has no user. */
    g_autoptr(JsonArray) found = events_of(harness, "type=VmDiscoveredEvent");
    assert_texts(json_array_get_object_element(found, 0), "info", "", "VM 'web' was found on host 'h1'");
}

static void maintenance_begins_when_the_last_vm_is_off(void **state)
{
    struct harness *harness = *state;
    call(harness, "POST", "/v1/hosts/h1/maintenance", NULL);
    g_autoptr(JsonArray) before = events_of(harness, "host=h1");
    assert_non_null(find(before, "EnteringMaintenanceModeEvent"));
    assert_null(find(before, "EnteredMaintenanceModeEvent"));
    call(harness, "POST", "/v1/vms/web/stop", "{\"force\":true}");
    struct expected entered = {harness, "type=EnteredMaintenanceModeEvent&host=h1"};
    harness_wait(is_told, &entered, "the host to be empty");
    struct answer refused = harness_call(harness, "POST", "/v1/vms/web/start", NULL);
    assert_string_equal(refused.err.id, "host-in-maintenance");
    answer_clear(&refused);
    call(harness, "DELETE", "/v1/hosts/h1/maintenance", NULL);
    g_autoptr(JsonArray) after = events_of(harness, "host=h1");
    assert_texts(find(after, "EnteredMaintenanceModeEvent"), "info", "",
                 "host 'h1' is in maintenance mode: no VM on it is powered on");
    JsonObject *failed = find(after, "VmFailedToPowerOnEvent");
    assert_string_equal(text_of(failed, "user"), "admin");
    assert_string_equal(error_id_of(failed), "host-in-maintenance");
    assert_texts(find(after, "ExitMaintenanceModeEvent"), "info", "admin",
                 "host 'h1' takes VMs again by 'admin'");
}

static void hosts_pools_and_tokens_have_a_history(void **state)
{
    struct harness *harness = *state;
    call(harness, "POST", "/v1/pools", "{\"path\":\"prod\"}");
    call(harness, "PATCH", "/v1/pools/prod", "{\"memory_limit_mib\":4096}");
    call(harness, "DELETE", "/v1/pools/prod", NULL);
    call(harness, "POST", "/v1/tokens", "{\"name\":\"ann\"}");
    call(harness, "DELETE", "/v1/tokens/ann", NULL);
    call(harness, "POST", "/v1/hosts", "{\"name\":\"h3\",\"address\":\"127.0.0.1\"}");
    call(harness, "DELETE", "/v1/hosts/h3", NULL);
    static const char *const types[] = {"ResourcePoolCreatedEvent",   "ResourcePoolReconfiguredEvent",
                                        "ResourcePoolDestroyedEvent", "TokenCreatedEvent",
                                        "TokenRemovedEvent",          "HostRemovedEvent"};
    g_autoptr(JsonArray) events = events_of(harness, "user=admin");
    for (unsigned i = 0; i < G_N_ELEMENTS(types); i++)
        if (!find(events, types[i]))
            fail_msg("no %s", types[i]);
    g_autoptr(JsonArray) of_h1 = events_of(harness, "host=h1");
    assert_non_null(find(of_h1, "HostAddedEvent"));
    assert_non_null(find(of_h1, "HostEnrolledEvent"));
    assert_non_null(find(of_h1, "HostConnectedEvent"));
}

static void an_upgrade_and_a_silence_of_a_host_are_told(void **state)
{
    struct harness *harness = *state;
    harness_kill(harness);
    g_autofree char *path = g_build_filename(harness->folder, "state", "manager.db", NULL);
    struct db *db;
    struct err err = {0};
    assert_int_equal(db_open(path, &db, &err), 0);
    assert_int_equal(
        statement_run(db, "UPDATE hosts SET facts = json_set(facts, '$.agent_version', '0.0.1')", &err, ""),
        0);
    db_close(db);
    harness_start(harness);
    struct expected upgraded = {harness, "type=HostUpgradedEvent&host=h2"};
    harness_wait(is_told, &upgraded, "the upgrade");
    g_autoptr(JsonArray) upgrades = events_of(harness, upgraded.query);
    assert_string_equal(text_of(json_array_get_object_element(upgrades, 0), "text"),
                        "host 'h2': agent fake instead of 0.0.1");
    fake_agent_stop(&harness->destination);
    struct expected lost = {harness, "type=HostConnectionLostEvent&severity=error&host=h2"};
    harness_wait(is_told, &lost, "the silence");
    g_autoptr(JsonArray) losses = events_of(harness, lost.query);
    JsonObject *event = json_array_get_object_element(losses, 0);
    JsonObject *error = json_object_get_object_member(event, "error");
    assert_string_equal(text_of(error, "code"), "PEER_LOST");
    assert_non_null(strstr(text_of(event, "text"), text_of(error, "message")));
}

/* A client of what happens, in another thread. */
struct reader {
    struct harness *harness;
    const char *path;
    guint n_wanted;
    GPtrArray *texts;
    gint is_over;
};

static bool take(const char *name, JsonObject *event, void *user)
{
    struct reader *reader = user;
    (void)name;
    g_ptr_array_add(reader->texts, g_strdup_printf("%d %s", (int)json_object_get_int_member(event, "id"),
                                                   text_of(event, "text")));
    return reader->texts->len < reader->n_wanted;
}

static void *read_stream(void *user)
{
    struct reader *reader = user;
    struct err err = {0};
    if (http_client_events_sync(reader->harness->client, reader->path, take, reader, &err))
        g_printerr("events: %s\n", err.message);
    g_atomic_int_set(&reader->is_over, 1);
    g_main_context_wakeup(NULL);
    return NULL;
}

static bool is_over(void *user)
{
    return g_atomic_int_get(&((struct reader *)user)->is_over);
}

/* Tokens are made until the stream has what it waits for: it may be opened at any moment between. */
static void a_stream_tells_what_a_list_tells_and_no_more(void **state)
{
    struct harness *harness = *state;
    call(harness, "POST", "/v1/tokens", "{\"name\":\"before\"}");
    struct reader reader = {
        .harness = harness, .path = "/v1/events?type=TokenCreatedEvent&user=admin", .n_wanted = 6};
    reader.texts = g_ptr_array_new_with_free_func(g_free);
    GThread *thread = g_thread_new("reader", read_stream, &reader);
    for (unsigned i = 0; i < 200 && !is_over(&reader); i++) {
        g_autofree char *body = g_strdup_printf("{\"name\":\"t%u\"}", i);
        call(harness, "POST", "/v1/tokens", body);
        call(harness, "POST", "/v1/pools", "{\"path\":\"prod\"}");
        call(harness, "DELETE", "/v1/pools/prod", NULL);
    }
    harness_wait(is_over, &reader, "the stream");
    (void)g_thread_join(thread);
    g_autoptr(JsonArray) listed = events_of(harness, "type=TokenCreatedEvent&user=admin&since=0");
    assert_int_equal(reader.texts->len, 6);
    for (guint i = 0; i < 6; i++) {
        JsonObject *event = json_array_get_object_element(listed, i);
        g_autofree char *text =
            g_strdup_printf("%d %s", (int)json_object_get_int_member(event, "id"), text_of(event, "text"));
        assert_string_equal(reader.texts->pdata[i], text);
    }
    g_ptr_array_unref(reader.texts);
}

static void a_filter_that_cannot_be_meant_is_named(void **state)
{
    static const struct {
        const char *path;
        const char *field;
    } cases[] = {
        {"/v1/events?vmm=web", "vmm"},
        {"/v1/events?vm=a%20b", "vm"},
        {"/v1/events?host=", "host"},
        {"/v1/events?task=web", "task"},
        {"/v1/events?type=VmFlewAwayEvent", "type"},
        {"/v1/events?severity=bad", "severity"},
        {"/v1/events?user=%2F", "user"},
        {"/v1/events?since=yesterday", "since"},
        {"/v1/events?until=2026-13-01", "until"},
        {"/v1/events?limit=0", "limit"},
        {"/v1/events?limit=1001", "limit"},
        {"/v1/events?before=x", "before"},
        {"/v1/tasks?state=done", "state"},
        {"/v1/tasks?since=12", "since"},
        {"/v1/tasks?type=VmMigratedEvent", "type"},
        {"/v1/tasks?before=1", "before"},
    };
    struct harness *harness = *state;
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        struct answer answer = harness_call(harness, "GET", cases[i].path, NULL);
        if (strcmp(answer.err.id, "query") != 0 ||
            g_strcmp0(err_arg_find(&answer.err, "field"), cases[i].field) != 0 || !answer.err.fix[0] ||
            !strstr(answer.err.message, cases[i].field))
            fail_msg("%s: %s, '%s'", cases[i].path, answer.err.id, answer.err.message);
        answer_clear(&answer);
    }
}

static gint64 id_of(JsonArray *events, guint index)
{
    return json_object_get_int_member(json_array_get_object_element(events, index), "id");
}

/* Three at a time, both ways. */
static void pages_lead_through_everything(void **state)
{
    struct harness *harness = *state;
    g_autofree char *task = harness_migrate(harness);
    g_autoptr(JsonObject) document = harness_wait_final(harness, task);
    g_autoptr(JsonArray) all = events_of_task(harness, task);
    guint n_all = json_array_get_length(all);
    gint64 since = 0;
    gint64 before = G_MAXINT64;
    guint n_forward = 0;
    guint n_backward = 0;
    bool more = true;
    while (more) {
        g_autofree char *path =
            g_strdup_printf("/v1/events?task=%s&limit=3&since=%" G_GINT64_FORMAT, task, since);
        struct answer answer = harness_call(harness, "GET", path, NULL);
        JsonArray *page = json_object_get_array_member(answer.object, "events");
        for (guint i = 0; i < json_array_get_length(page); i++)
            assert_int_equal(id_of(page, i), id_of(all, n_forward++));
        since = id_of(page, json_array_get_length(page) - 1);
        more = json_object_get_boolean_member(answer.object, "more");
        answer_clear(&answer);
    }
    assert_int_equal(n_forward, n_all);
    more = true;
    while (more) {
        g_autofree char *path =
            g_strdup_printf("/v1/events?task=%s&limit=3&before=%" G_GINT64_FORMAT, task, before);
        struct answer answer = harness_call(harness, "GET", path, NULL);
        JsonArray *page = json_object_get_array_member(answer.object, "events");
        for (guint i = json_array_get_length(page); i-- > 0;)
            assert_int_equal(id_of(page, i), id_of(all, n_all - ++n_backward));
        before = id_of(page, 0);
        more = json_object_get_boolean_member(answer.object, "more");
        answer_clear(&answer);
    }
    assert_int_equal(n_backward, n_all);
}

static void a_list_of_tasks_leaves_the_timelines_where_they_are(void **state)
{
    struct harness *harness = *state;
    g_autofree char *task = harness_migrate(harness);
    g_autoptr(JsonObject) document = harness_wait_final(harness, task);
    assert_true(json_array_get_length(json_object_get_array_member(document, "timeline")) > 3);
    g_autoptr(JsonArray) tasks = list(harness, "/v1/tasks?vm=web&state=success&user=admin&host=h2", "tasks");
    assert_int_equal(json_array_get_length(tasks), 1);
    JsonObject *listed = json_array_get_object_element(tasks, 0);
    assert_false(json_object_has_member(listed, "timeline"));
    assert_same(listed, document, "downtime_ms");
    static const char *const others[] = {"vm=shop", "state=error",      "user=ann",
                                         "host=h3", "since=2100-01-01", "until=2001-01-01"};
    for (unsigned i = 0; i < G_N_ELEMENTS(others); i++) {
        g_autofree char *path = g_strdup_printf("/v1/tasks?%s", others[i]);
        g_autoptr(JsonArray) none = list(harness, path, "tasks");
        assert_int_equal(json_array_get_length(none), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_move_is_told_from_its_request_to_its_figures, harness_setup,
                                        harness_teardown),
        cmocka_unit_test_setup_teardown(a_failure_has_the_error_of_its_task, harness_setup, harness_teardown),
        cmocka_unit_test_setup_teardown(a_cancel_says_who_asked_for_it, harness_setup, harness_teardown),
        cmocka_unit_test_setup_teardown(what_holds_a_copy_up_is_told_once, harness_setup, harness_teardown),
        cmocka_unit_test_setup_teardown(a_request_that_is_refused_is_history_too, harness_setup,
                                        harness_teardown),
        cmocka_unit_test_setup_teardown(what_is_done_to_a_vm_names_who_had_it_done, harness_setup,
                                        harness_teardown),
        cmocka_unit_test_setup_teardown(maintenance_begins_when_the_last_vm_is_off, harness_setup,
                                        harness_teardown),
        cmocka_unit_test_setup_teardown(hosts_pools_and_tokens_have_a_history, harness_setup,
                                        harness_teardown),
        cmocka_unit_test_setup_teardown(an_upgrade_and_a_silence_of_a_host_are_told, harness_setup,
                                        harness_teardown),
        cmocka_unit_test_setup_teardown(a_stream_tells_what_a_list_tells_and_no_more, harness_setup_bare,
                                        harness_teardown),
        cmocka_unit_test_setup_teardown(a_filter_that_cannot_be_meant_is_named, harness_setup_bare,
                                        harness_teardown),
        cmocka_unit_test_setup_teardown(pages_lead_through_everything, harness_setup, harness_teardown),
        cmocka_unit_test_setup_teardown(a_list_of_tasks_leaves_the_timelines_where_they_are, harness_setup,
                                        harness_teardown),
    };
    return cmocka_run_group_tests_name("history", tests, NULL, NULL);
}
