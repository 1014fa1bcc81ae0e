/* SPDX-License-Identifier: Apache-2.0 */
/* The operator settles who owns a VM. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "harness.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "store/db.h"

static struct answer settle(struct harness *harness, const char *body)
{
    return harness_call(harness, "POST", "/v1/vms/web/settle", body);
}

static void refuses(struct harness *harness, const char *body, const char *id)
{
    struct answer answer = settle(harness, body);
    assert_string_equal(answer.err.id, id);
    assert_true(answer.err.fix[0]);
    assert_int_equal(harness->source.n_orders, 0);
    assert_int_equal(harness->destination.n_orders, 0);
    answer_clear(&answer);
}

/* Both hosts list the VM as theirs. */
static void both_own_it(struct harness *harness)
{
    struct vm_status *twin = fake_agent_add_vm(&harness->destination, "web", VM_OFF);
    memcpy(twin->spec.uuid, harness->source.vms[0].spec.uuid, sizeof twin->spec.uuid);
    twin->epoch = 7;
}

static void looking_shows_what_every_host_knows(void **state)
{
    struct harness *harness = *state;
    harness->destination.journal = "corrupt";
    struct answer answer = harness_call(harness, "GET", "/v1/vms/web/ownership", NULL);
    JsonArray *hosts = json_object_get_array_member(answer.object, "hosts");
    assert_int_equal(json_array_get_length(hosts), 2);
    assert_string_equal(text_of(json_array_get_object_element(hosts, 0), "journal"), "OWNED");
    assert_string_equal(text_of(json_array_get_object_element(hosts, 1), "journal"), "corrupt");
    assert_string_equal(text_of(answer.object, "owner"), "");
    assert_string_equal(text_of(answer.object, "dispute"), "the journal is damaged on: h2");
    answer_clear(&answer);
    harness->destination.journal = NULL;
    answer = harness_call(harness, "GET", "/v1/vms/web/ownership", NULL);
    assert_string_equal(text_of(answer.object, "owner"), "h1");
    assert_string_equal(text_of(answer.object, "dispute"), "");
    answer_clear(&answer);
}

static void what_would_harm_is_refused(void **state)
{
    struct harness *harness = *state;
    refuses(harness, "{\"owner\":\"h2\",\"confirm\":\"h1\"}", "confirm-differs");
    refuses(harness, "{\"owner\":\"h2\",\"confirm\":\"h2\"}", "vm-runs-elsewhere");
    refuses(harness, "{\"owner\":\"h1\",\"confirm\":\"h1\",\"hosts_down\":[\"h2\"]}", "host-is-up");
    refuses(harness, "{\"owner\":\"h1\",\"confirm\":\"h1\",\"hosts_down\":[\"h9\"]}", "host-not-found");
    refuses(harness, "{\"owner\":\"h9\",\"confirm\":\"h9\"}", "host-not-found");
    harness->source.is_automatic = false;
    g_autofree char *task = harness_migrate(harness);
    g_autoptr(JsonObject) copying = harness_wait_phase(harness, task, "copy");
    refuses(harness, "{\"owner\":\"h1\",\"confirm\":\"h1\"}", "task-running");
    fake_agent_stop(&harness->destination);
    refuses(harness, "{\"owner\":\"h1\",\"confirm\":\"h1\"}", "host-not-answering");
}

static bool is_held(void *user)
{
    return ((struct fake_agent *)user)->held != NULL;
}

static bool has_order(void *user)
{
    return ((struct fake_agent *)user)->n_orders > 0;
}

struct background {
    struct answer answer;
};

static void answered(JsonObject *object, const struct err *err, void *user)
{
    struct background *background = user;
    background->answer.is_done = true;
    background->answer.err = *err;
    background->answer.object = object ? json_object_ref(object) : NULL;
}

static bool is_answered(void *user)
{
    return ((struct background *)user)->answer.is_done;
}

static void settle_in_background(struct harness *harness, const char *text, struct background *background)
{
    JsonObject *body;
    assert_int_equal(model_parse(text, -1, &body, NULL), 0);
    http_client_call(harness->client, &(struct http_call){"POST", "/v1/vms/web/settle", body, 60, NULL},
                     answered, background);
}

static void the_loser_gives_it_up_before_the_owner_has_it(void **state)
{
    struct harness *harness = *state;
    struct background background = {0};
    both_own_it(harness);
    harness->source.hold = "POST settle";
    settle_in_background(harness, "{\"owner\":\"h2\",\"confirm\":\"h2\"}", &background);
    harness_wait(is_held, &harness->source, "the order to the loser");
    /* Nothing may move or start it meanwhile, and the owner is not told. */
    struct answer start = harness_call(harness, "POST", "/v1/vms/web/start", NULL);
    assert_string_equal(start.err.id, "vm-being-settled");
    assert_int_equal(harness->destination.n_orders, 0);
    answer_clear(&start);
    /* The loser's agent restarts: the order did not arrive, and is repeated. */
    harness->source.hold = NULL;
    struct err lost = {0};
    err_set(&lost, ERR_RETRY, "vm-busy", "busy");
    http_fail(g_steal_pointer(&harness->source.held), &lost);
    harness_wait(has_order, &harness->destination, "the order to the owner");
    assert_int_equal(harness->source.n_orders, 1);
    assert_false(harness->source.order.is_owner);
    assert_true(harness->destination.order.is_owner && harness->destination.order.epoch > 7);
    assert_int_equal(harness->source.order.epoch, harness->destination.order.epoch);
    harness_wait(is_answered, &background, "the answer");
    answer_clear(&background.answer);
}

static void a_settlement_survives_the_managers_death(void **state)
{
    struct harness *harness = *state;
    struct background background = {0};
    both_own_it(harness);
    harness->source.hold = "POST settle";
    settle_in_background(harness, "{\"owner\":\"h2\",\"confirm\":\"h2\"}", &background);
    harness_wait(is_held, &harness->source, "the order to the loser");
    harness_kill(harness);
    harness->source.hold = NULL;
    http_reply(g_steal_pointer(&harness->source.held), 200, NULL);
    harness_wait(is_answered, &background, "the lost connection");
    harness_start(harness);
    harness_wait(has_order, &harness->destination, "the order to the owner");
    assert_int_equal(harness->source.n_orders, 1);
    g_autoptr(JsonObject) audit = harness_wait_event(harness, "audit", "action", "settle");
    assert_string_equal(text_of(audit, "owner"), "h2");
    assert_string_equal(text_of(audit, "user"), "admin");
    answer_clear(&background.answer);
}

/* The VM's host is dead. It comes back with the VM, and must give way. */
static void a_host_that_was_declared_down_gives_way_when_it_is_back(void **state)
{
    struct harness *harness = *state;
    fake_agent_stop(&harness->source);
    refuses(harness, "{\"owner\":\"h2\",\"confirm\":\"h2\"}", "host-not-answering");
    struct answer answer = settle(harness, "{\"owner\":\"h2\",\"confirm\":\"h2\",\"hosts_down\":[\"h1\"]}");
    assert_string_equal(answer.err.message, "");
    assert_string_equal(text_of(answer.object, "owner"), "h2");
    answer_clear(&answer);
    assert_true(harness->destination.order.is_owner && harness->destination.order.has_spec);
    assert_string_equal(harness->destination.order.spec.name, "web");
    harness_kill(harness); /* it is remembered */
    fake_agent_start(&harness->source);
    harness_start(harness);
    harness_wait(has_order, &harness->source, "the order to the one that came back");
    assert_false(harness->source.order.is_owner);
    g_autoptr(JsonObject) event = harness_wait_event(harness, "recovery", "action", "gave up");
    assert_string_equal(text_of(event, "host"), "h1");
    harness_wait_connected(harness, "h2"); /* else the VM is shown where it is known to be off */
    struct answer vm = harness_call(harness, "GET", "/v1/vms/web", NULL);
    assert_string_equal(text_of(vm.object, "host"), "h2");
    assert_int_equal(json_array_get_length(json_object_get_array_member(vm.object, "conflict")), 0);
    answer_clear(&vm);
}

struct lists {
    struct fake_agent *agent;
    unsigned n_wanted;
};

static bool was_listed(void *user)
{
    const struct lists *lists = user;
    return lists->agent->n_vm_lists >= lists->n_wanted;
}

/* It is booted while it is asked, and may be starting the VM. */
static void a_host_that_answers_meanwhile_is_not_down(void **state)
{
    struct harness *harness = *state;
    struct background background = {0};
    harness->source.hold = "GET ownership";
    settle_in_background(harness, "{\"owner\":\"h2\",\"confirm\":\"h2\",\"hosts_down\":[\"h1\"]}",
                         &background);
    harness_wait(is_held, &harness->source, "the question");
    struct lists lists = {&harness->source, harness->source.n_vm_lists + 2};
    harness_wait(was_listed, &lists, "the host to be heard");
    struct err lost = {0};
    err_set(&lost, ERR_RETRY, "vm-busy", "busy");
    harness->source.hold = NULL;
    http_fail(g_steal_pointer(&harness->source.held), &lost);
    harness_wait(is_answered, &background, "the answer");
    assert_string_equal(background.answer.err.id, "host-is-up");
    assert_true(background.answer.err.fix[0]);
    assert_int_equal(harness->destination.n_orders, 0);
    answer_clear(&background.answer);
}

/* A task that waits for the dead host ends with the word, and a given VM is brought back. */
static void a_task_that_waits_for_a_dead_host_ends(void **state)
{
    struct harness *harness = *state;
    harness->source.is_automatic = false;
    g_autofree char *task = harness_migrate(harness);
    g_autoptr(JsonObject) copying = harness_wait_phase(harness, task, "copy");
    fake_agent_stop(&harness->destination);
    fake_agent_set(&harness->source, MOVE_GIVEN);
    g_autoptr(JsonObject) given = harness_wait_phase(harness, task, "switch-over");
    struct answer answer = settle(harness, "{\"owner\":\"h1\",\"confirm\":\"h1\",\"hosts_down\":[\"h2\"]}");
    assert_string_equal(answer.err.message, "");
    answer_clear(&answer);
    g_autoptr(JsonObject) end = harness_wait_final(harness, task);
    assert_string_equal(error_id_of(end), "settled-by-operator");
    assert_true(harness->source.order.is_owner);
}

struct conflict {
    struct harness *harness;
    guint n;
};

static bool has_conflict(void *user)
{
    struct conflict *conflict = user;
    struct answer vm = harness_call(conflict->harness, "GET", "/v1/vms/web", NULL);
    bool is_so = json_array_get_length(json_object_get_array_member(vm.object, "conflict")) == conflict->n;
    answer_clear(&vm);
    return is_so;
}

static void a_vm_with_two_owners_is_shown_and_not_touched(void **state)
{
    struct harness *harness = *state;
    struct conflict conflict = {harness, 2};
    both_own_it(harness);
    harness_wait(has_conflict, &conflict, "the conflict to be seen");
    struct answer answer = harness_call(harness, "POST", "/v1/vms/web/start", NULL);
    assert_string_equal(answer.err.id, "vm-owned-twice");
    answer_clear(&answer);
    answer = harness_call(harness, "POST", "/v1/migrations", "{\"vm\":\"web\",\"destination\":\"h2\"}");
    assert_string_equal(answer.err.id, "vm-owned-twice");
    answer_clear(&answer);
    answer = settle(harness, "{\"owner\":\"h1\",\"confirm\":\"h1\"}");
    assert_string_equal(answer.err.message, "");
    answer_clear(&answer);
    conflict.n = 0;
    harness_wait(has_conflict, &conflict, "the conflict to be over");
    assert_false(harness->destination.order.is_owner);
}

/* The owner is away when the host that was declared down comes back: nothing may start the VM there. */
static void a_host_that_has_not_heard_the_word_starts_nothing(void **state)
{
    struct harness *harness = *state;
    fake_agent_stop(&harness->source);
    struct answer answer = settle(harness, "{\"owner\":\"h2\",\"confirm\":\"h2\",\"hosts_down\":[\"h1\"]}");
    assert_string_equal(answer.err.message, "");
    answer_clear(&answer);
    harness_kill(harness);
    fake_agent_stop(&harness->destination);
    harness->source.hold = "POST settle";
    fake_agent_start(&harness->source);
    harness_start(harness);
    harness_wait(is_held, &harness->source, "the order to the one that came back");
    struct answer start = harness_call(harness, "POST", "/v1/vms/web/start", NULL);
    assert_string_equal(start.err.id, "vm-being-settled");
    assert_non_null(strstr(start.err.cause, "h1"));
    assert_false(fake_agent_was_called(&harness->source, "POST vm start"));
    answer_clear(&start);
    harness->source.hold = NULL;
    http_reply(g_steal_pointer(&harness->source.held), 200, NULL);
}

static bool was_asked(void *user)
{
    return fake_agent_was_called(user, "GET ownership");
}

struct child {
    bool is_over;
    int status;
};

static void note_end(GPid pid, int status, void *user)
{
    *(struct child *)user = (struct child){true, status};
    g_spawn_close_pid(pid);
}

static bool has_ended(void *user)
{
    return ((struct child *)user)->is_over;
}

static void a_manager_that_is_stopped_while_hosts_are_asked_ends_well(void **state)
{
    struct harness *harness = *state;
    struct background background = {0};
    harness->source.hold = "GET ownership";
    settle_in_background(harness, "{\"owner\":\"h2\",\"confirm\":\"h2\",\"hosts_down\":[\"h1\"]}",
                         &background);
    harness_wait(is_held, &harness->source, "the question to the one that is down");
    harness_wait(was_asked, &harness->destination, "the question to the owner");
    struct answer about = harness_call(harness, "GET", "/v1/about", NULL);
    answer_clear(&about);
    struct child child = {0};
    (void)g_child_watch_add(harness->pid, note_end, &child);
    assert_int_equal(kill(harness->pid, SIGTERM), 0);
    harness_wait(has_ended, &child, "the manager to end");
    harness->pid = 0;
    assert_true(WIFEXITED(child.status) && WEXITSTATUS(child.status) == 0);
    harness_wait(is_answered, &background, "the end of the call");
    assert_int_equal(harness->destination.n_orders, 0);
    harness->source.hold = NULL;
    http_reply(g_steal_pointer(&harness->source.held), 200, NULL);
    answer_clear(&background.answer);
    harness_start(harness);
}

/* One that answers must not be declared down only because it cannot be asked. */
static void an_agent_of_a_version_before_is_not_taken_for_down(void **state)
{
    struct harness *harness = *state;
    harness->destination.is_before = true;
    refuses(harness, "{\"owner\":\"h1\",\"confirm\":\"h1\"}", "protocol-mismatch");
    refuses(harness, "{\"owner\":\"h1\",\"confirm\":\"h1\",\"hosts_down\":[\"h2\"]}", "protocol-mismatch");
    refuses(harness, "{\"owner\":\"h2\",\"confirm\":\"h2\"}", "protocol-mismatch");
}

/* As a manager that was killed, or a database from before, has it stored. */
static void store(struct harness *harness, const char *document)
{
    g_autofree char *path = g_build_filename(harness->folder, "state", "manager.db", NULL);
    struct err err = {0};
    struct db *db;
    harness_kill(harness);
    assert_int_equal(db_open(path, &db, &err), 0);
    assert_int_equal(db_settlement_put(db, harness->source.vms[0].spec.uuid, document, &err), 0);
    db_close(db);
    harness_start(harness);
    harness_wait_connected(harness, "h1");
}

static bool is_forgotten(void *user)
{
    struct answer answer = harness_call(user, "GET", "/v1/vms/web/ownership", NULL);
    bool is_so = answer.object && json_object_get_null_member(answer.object, "settlement");
    answer_clear(&answer);
    return is_so;
}

static void a_word_that_all_have_heard_is_forgotten(void **state)
{
    struct harness *harness = *state;
    store(harness,
          "{\"vm\":\"web\",\"owner\":\"h1\",\"epoch\":1,\"is_owned\":true,\"hosts\":{\"h2\":\"done\"}}");
    harness_wait(is_forgotten, harness, "the settlement to be forgotten");
    assert_int_equal(harness->source.n_orders, 0);
    /* The VM has come to the host that was down by moves since then. */
    harness->source.vms[0].epoch = 9;
    store(harness,
          "{\"vm\":\"web\",\"owner\":\"h2\",\"epoch\":5,\"is_owned\":true,\"hosts\":{\"h1\":\"down\"}}");
    harness_wait(is_forgotten, harness, "the settlement to be forgotten");
    assert_int_equal(harness->source.n_orders, 1);
    assert_int_equal(harness->source.n_vms, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, harness_setup, harness_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(looking_shows_what_every_host_knows),
        TEST(what_would_harm_is_refused),
        TEST(the_loser_gives_it_up_before_the_owner_has_it),
        TEST(a_settlement_survives_the_managers_death),
        TEST(a_host_that_was_declared_down_gives_way_when_it_is_back),
        TEST(a_host_that_answers_meanwhile_is_not_down),
        TEST(a_host_that_has_not_heard_the_word_starts_nothing),
        TEST(a_manager_that_is_stopped_while_hosts_are_asked_ends_well),
        TEST(an_agent_of_a_version_before_is_not_taken_for_down),
        TEST(a_word_that_all_have_heard_is_forgotten),
        TEST(a_task_that_waits_for_a_dead_host_ends),
        TEST(a_vm_with_two_owners_is_shown_and_not_touched),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
