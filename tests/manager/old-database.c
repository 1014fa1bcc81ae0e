/* SPDX-License-Identifier: Apache-2.0 */
/* The manager's database is lost, or an older one is put in its place: the agents are the truth. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "harness.h"

#include <stdio.h>
#include <string.h>

static unsigned n_calls(const struct fake_agent *agent, const char *call)
{
    unsigned n = 0;
    for (guint i = 0; i < agent->calls->len; i++)
        n += !strcmp(agent->calls->pdata[i], call);
    return n;
}

static struct answer adopt(struct harness *harness, const char *name, const struct fake_agent *agent)
{
    g_autofree char *path = g_strdup_printf("/v1/hosts/%s/adopt", name);
    g_autofree char *body = g_strdup_printf("{\"address\":\"127.0.0.1\",\"port\":%u}", agent->port);
    return harness_call(harness, "POST", path, body);
}

static bool web_runs(void *user)
{
    struct answer vm = harness_call(user, "GET", "/v1/vms/web", NULL);
    bool is_so = vm.object && !strcmp(text_of(vm.object, "state"), "running");
    answer_clear(&vm);
    return is_so;
}

static void hosts_come_back_without_a_new_enrolment(void **state)
{
    struct harness *harness = *state;
    harness_kill(harness);
    harness_lose_database(harness);
    harness_start(harness);
    struct answer hosts = harness_call(harness, "GET", "/v1/hosts", NULL);
    assert_int_equal(json_array_get_length(json_object_get_array_member(hosts.object, "hosts")), 0);
    answer_clear(&hosts);
    /* Not under another name than its certificate's. */
    struct answer wrong = adopt(harness, "h9", &harness->source);
    assert_string_equal(wrong.err.id, "peer-not-trusted");
    assert_true(wrong.err.fix[0]);
    answer_clear(&wrong);
    struct answer first = adopt(harness, "h1", &harness->source);
    assert_string_equal(first.err.message, "");
    assert_string_equal(text_of(first.object, "name"), "h1");
    answer_clear(&first);
    struct answer again = adopt(harness, "h1", &harness->source);
    assert_string_equal(again.err.id, "host-exists");
    answer_clear(&again);
    struct answer second = adopt(harness, "h2", &harness->destination);
    assert_string_equal(second.err.message, "");
    answer_clear(&second);
    harness_wait(web_runs, harness, "the VM to be known again");
    harness_wait_connected(harness, "h2");
    g_autofree char *task = harness_migrate(harness);
    g_autoptr(JsonObject) end = harness_wait_final(harness, task);
    assert_string_equal(text_of(end, "state"), "success");
}

static void wait_until_web_may_move(struct harness *harness)
{
    harness_wait_connected(harness, "h1");
    harness_wait_connected(harness, "h2");
    harness_wait(web_runs, harness, "the VM to be known");
}

static char *migrate_to(struct harness *harness, const char *host, const char *key)
{
    g_autofree char *body =
        g_strdup_printf("{\"vm\":\"web\",\"destination\":\"%s\",\"client_key\":\"%s\"}", host, key);
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

/* The database is from the moment when a move to h2 was being checked. It was carried out since, and the VM
 * was moved back. Put back, the database must not carry it out again. */
static void a_move_that_is_over_is_not_made_again(void **state)
{
    struct harness *harness = *state;
    harness->destination.hold = "POST check";
    g_autofree char *old = migrate_to(harness, "h2", "once");
    harness_wait(is_held, &harness->destination, "the check");
    harness_kill(harness);
    harness_keep_database(harness);
    harness->destination.hold = NULL;
    http_reply(g_steal_pointer(&harness->destination.held), 200, NULL);
    harness_start(harness);
    g_autoptr(JsonObject) moved = harness_wait_final(harness, old);
    assert_string_equal(text_of(moved, "state"), "success");
    wait_until_web_may_move(harness);
    harness->destination.is_automatic = true;
    g_autofree char *back = migrate_to(harness, "h1", "back");
    g_autoptr(JsonObject) returned = harness_wait_final(harness, back);
    assert_string_equal(text_of(returned, "state"), "success");
    unsigned n_moves = n_calls(&harness->source, "PUT source");
    harness_kill(harness);
    harness_restore_database(harness);
    harness_start(harness);
    g_autoptr(JsonObject) end = harness_wait_final(harness, old);
    assert_string_equal(text_of(end, "state"), "error");
    assert_string_equal(error_id_of(end), "vm-has-moved");
    wait_until_web_may_move(harness);
    assert_int_equal(harness->source.n_vms, 1);
    /* The key of the old task answers with it, and starts nothing. */
    g_autofree char *same = migrate_to(harness, "h2", "once");
    assert_string_equal(same, old);
    assert_int_equal(n_calls(&harness->source, "POST start"), 1);
    assert_true(n_calls(&harness->source, "PUT source") <= n_moves + 1);
}

/* The old database says that the VM is on h1; a VM made since is not in it, one deleted since is. */
static void the_inventory_follows_the_agents(void **state)
{
    struct harness *harness = *state;
    (void)fake_agent_add_vm(&harness->source, "short", VM_OFF);
    harness_kill(harness);
    harness_start(harness);
    wait_until_web_may_move(harness);
    harness_kill(harness);
    harness_keep_database(harness);
    harness_start(harness);
    wait_until_web_may_move(harness);
    g_autofree char *task = migrate_to(harness, "h2", "key");
    g_autoptr(JsonObject) moved = harness_wait_final(harness, task);
    assert_string_equal(text_of(moved, "state"), "success");
    harness->source.n_vms = 0;
    (void)fake_agent_add_vm(&harness->source, "young", VM_OFF);
    harness_kill(harness);
    harness_restore_database(harness);
    harness_start(harness);
    wait_until_web_may_move(harness);
    struct answer vms = harness_call(harness, "GET", "/v1/vms", NULL);
    JsonArray *list = json_object_get_array_member(vms.object, "vms");
    assert_int_equal(json_array_get_length(list), 2);
    JsonObject *web = json_array_get_object_element(list, 0);
    assert_string_equal(text_of(json_object_get_object_member(web, "spec"), "name"), "web");
    assert_string_equal(text_of(web, "host"), "h2");
    JsonObject *young = json_array_get_object_element(list, 1);
    assert_string_equal(text_of(json_object_get_object_member(young, "spec"), "name"), "young");
    answer_clear(&vms);
    assert_int_equal(n_calls(&harness->destination, "PUT source"), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, harness_setup, harness_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(hosts_come_back_without_a_new_enrolment),
        TEST(a_move_that_is_over_is_not_made_again),
        TEST(the_inventory_follows_the_agents),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
