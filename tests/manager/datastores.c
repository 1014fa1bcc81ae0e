/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "harness.h"

#include <string.h>

#define UUID "3f0c8a52-6b1d-4e7a-9c55-0d2f4b6a8c1e"
#define OTHER "00000000-6b1d-4e7a-9c55-0d2f4b6a8c1e"

static void give(struct fake_agent *agent, const char *state, const char *uuid)
{
    struct host_datastore *datastore = &agent->datastores[0];
    *datastore =
        (struct host_datastore){.name = "store", .path = "/store", .capacity_bytes = 100, .free_bytes = 7};
    (void)g_strlcpy(datastore->state, state, sizeof datastore->state);
    (void)g_strlcpy(datastore->reason, strcmp(state, DATASTORE_OK) ? "because" : "",
                    sizeof datastore->reason);
    (void)g_strlcpy(datastore->uuid, uuid, sizeof datastore->uuid);
    agent->n_datastores = 1;
}

struct wanted {
    struct harness *harness;
    const char *states; /* of the hosts in order, "ok stale" */
    unsigned n_identities;
};

static bool is_shown(void *user)
{
    const struct wanted *wanted = user;
    struct answer answer = harness_call(wanted->harness, "GET", "/v1/datastores/store", NULL);
    g_autoptr(GString) states = g_string_new(NULL);
    bool is_so = !err_is_set(&answer.err);
    JsonArray *hosts = is_so ? json_object_get_array_member(answer.object, "hosts") : NULL;
    for (guint i = 0; hosts && i < json_array_get_length(hosts); i++)
        g_string_append_printf(states, "%s%s", i ? " " : "",
                               text_of(json_array_get_object_element(hosts, i), "state"));
    is_so = is_so && !strcmp(states->str, wanted->states) &&
            json_array_get_length(json_object_get_array_member(answer.object, "identities")) ==
                wanted->n_identities;
    answer_clear(&answer);
    return is_so;
}

static void wait_shown(struct harness *harness, const char *states, unsigned n_identities)
{
    struct wanted wanted = {harness, states, n_identities};
    harness_wait(is_shown, &wanted, states);
}

static unsigned count_events(struct harness *harness, const char *type)
{
    g_autofree char *path = g_strdup_printf("/v1/events?type=%s&limit=100", type);
    struct answer answer = harness_call(harness, "GET", path, NULL);
    assert_false(err_is_set(&answer.err));
    unsigned n = json_array_get_length(json_object_get_array_member(answer.object, "events"));
    answer_clear(&answer);
    return n;
}

static void one_datastore_is_shown_with_all_its_hosts(void **test)
{
    struct harness *harness = *test;
    struct answer none = harness_call(harness, "GET", "/v1/datastores/store", NULL);
    assert_string_equal(none.err.id, "datastore-not-found");
    answer_clear(&none);
    give(&harness->source, DATASTORE_OK, UUID);
    give(&harness->destination, DATASTORE_STALE, UUID);
    harness->destination.datastores[0].free_bytes = 0;
    wait_shown(harness, "ok stale", 1);
    struct answer answer = harness_call(harness, "GET", "/v1/datastores", NULL);
    JsonArray *list = json_object_get_array_member(answer.object, "datastores");
    assert_int_equal(json_array_get_length(list), 1);
    /* The room is what a host says that can use it. */
    assert_int_equal(json_object_get_int_member(json_array_get_object_element(list, 0), "free_bytes"), 7);
    answer_clear(&answer);
    give(&harness->destination, DATASTORE_OK, OTHER);
    wait_shown(harness, "ok ok", 2);
    assert_int_equal(count_events(harness, "DatastoreDuplicatedEvent"), 1);
}

struct asked {
    const struct fake_agent *agent;
    unsigned n;
};

static bool is_asked(void *user)
{
    const struct asked *asked = user;
    return asked->agent->n_vm_lists >= asked->n;
}

static void what_becomes_of_it_is_told_once(void **test)
{
    struct harness *harness = *test;
    struct fake_agent *agent = &harness->source;
    give(agent, DATASTORE_OK, UUID);
    wait_shown(harness, "ok", 1);
    assert_int_equal(count_events(harness, "DatastoreDiscoveredEvent"), 1);
    give(agent, DATASTORE_READ_ONLY, UUID);
    wait_shown(harness, "read-only", 1);
    assert_int_equal(count_events(harness, "DatastoreInaccessibleEvent"), 1);
    /* An agent that was just started has not looked yet: nothing is new. */
    give(agent, DATASTORE_UNKNOWN, "");
    struct asked asked = {agent, agent->n_vm_lists + 2};
    harness_wait(is_asked, &asked, "the host to be asked again");
    wait_shown(harness, "read-only", 1);
    give(agent, DATASTORE_FULL, UUID);
    wait_shown(harness, "full", 1);
    assert_int_equal(count_events(harness, "DatastoreLimitedEvent"), 1);
    give(agent, DATASTORE_OK, UUID);
    wait_shown(harness, "ok", 1);
    assert_int_equal(count_events(harness, "DatastoreAccessibleEvent"), 1);
    assert_int_equal(count_events(harness, "DatastoreInaccessibleEvent"), 1);
    agent->n_datastores = 0;
    g_autoptr(JsonObject) gone = harness_wait_event(harness, "datastore", "state", "removed");
    assert_int_equal(count_events(harness, "DatastoreRemovedOnHostEvent"), 1);
    assert_int_equal(count_events(harness, "DatastoreDiscoveredEvent"), 1);
}

static void an_identity_that_another_host_has_is_not_made_twice(void **test)
{
    struct harness *harness = *test;
    static const char path[] = "/v1/hosts/h1/datastores/store/init";
    give(&harness->source, DATASTORE_UNINITIALISED, "");
    give(&harness->destination, DATASTORE_OK, OTHER);
    wait_shown(harness, "uninitialised ok", 1);
    struct answer answer = harness_call(harness, "POST", path, "{}");
    assert_string_equal(answer.err.id, "datastore-known");
    assert_string_equal(err_arg_find(&answer.err, "uuid"), OTHER);
    answer_clear(&answer);
    answer = harness_call(harness, "POST", path, "{\"force\":1}");
    assert_string_equal(answer.err.id, "member-type");
    answer_clear(&answer);
    assert_false(fake_agent_was_called(&harness->source, "POST init"));
    harness->destination.n_datastores = 0;
    wait_shown(harness, "uninitialised", 0);
    answer = harness_call(harness, "POST", path, "{}");
    assert_false(err_is_set(&answer.err));
    answer_clear(&answer);
    wait_shown(harness, "ok", 1);
    assert_int_equal(count_events(harness, "DatastoreInitialisedEvent"), 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, harness_setup, harness_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(one_datastore_is_shown_with_all_its_hosts),
        TEST(what_becomes_of_it_is_told_once),
        TEST(an_identity_that_another_host_has_is_not_made_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
