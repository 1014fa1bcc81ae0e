/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "harness.h"

#include <string.h>

#include "model/protocol.h"

struct state {
    struct harness *harness;
    const char *host;
    const char *wanted;
    int64_t protocol;
};

static bool host_is(void *user)
{
    const struct state *state = user;
    g_autofree char *path = g_strdup_printf("/v1/hosts/%s", state->host);
    struct answer answer = harness_call(state->harness, "GET", path, NULL);
    JsonObject *facts = json_object_get_object_member(answer.object, "facts");
    bool is_so = !strcmp(text_of(answer.object, "state"), state->wanted) &&
                 json_object_get_int_member(facts, "protocol") == state->protocol;
    answer_clear(&answer);
    return is_so;
}

static void wait_host(struct harness *harness, const struct fake_agent *agent, const char *wanted)
{
    struct state state = {harness, agent->name, wanted, agent->protocol};
    harness_wait(host_is, &state, wanted);
}

static void move_works(struct harness *harness)
{
    g_autofree char *task = harness_migrate(harness);
    g_autoptr(JsonObject) document = harness_wait_final(harness, task);
    assert_string_equal(error_id_of(document), "");
    assert_string_equal(text_of(document, "state"), "success");
}

static void an_agent_of_the_version_before_is_served(void **test)
{
    struct harness *harness = *test;
    harness->source.protocol = PROTOCOL - 1;
    wait_host(harness, &harness->source, "connected");
    move_works(harness);
}

static void an_agent_of_the_version_after_is_served(void **test)
{
    struct harness *harness = *test;
    harness->destination.protocol = PROTOCOL + 1;
    wait_host(harness, &harness->destination, "connected");
    move_works(harness);
}

static void an_agent_of_any_other_version_is_refused_until_it_is_upgraded(void **test)
{
    struct harness *harness = *test;
    struct fake_agent *agent = &harness->destination;
    agent->protocol = PROTOCOL + 2;
    wait_host(harness, agent, "disconnected");
    g_autofree char *task = harness_migrate(harness);
    g_autoptr(JsonObject) document = harness_wait_final(harness, task);
    assert_string_equal(error_id_of(document), "protocol-mismatch");
    JsonObject *error = json_object_get_object_member(document, "error");
    assert_string_equal(text_of(error, "fix"), "upgrade the manager");
    /* Nothing but the question for its version reaches it. */
    assert_false(fake_agent_was_called(agent, "POST check"));
    struct answer refused =
        harness_call(harness, "POST", "/v1/vms",
                     "{\"host\":\"h2\",\"spec\":{\"name\":\"new\",\"memory_mib\":64,\"cpus\":1}}");
    assert_true(err_is_set(&refused.err));
    assert_int_equal(agent->n_vms, 0);
    agent->protocol = PROTOCOL;
    wait_host(harness, agent, "connected");
    move_works(harness);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, harness_setup, harness_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_agent_of_the_version_before_is_served),
        TEST(an_agent_of_the_version_after_is_served),
        TEST(an_agent_of_any_other_version_is_refused_until_it_is_upgraded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
