/* SPDX-License-Identifier: Apache-2.0 */
/* When a host counts as disconnected: it did not answer while the manager was awake and could hear it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "harness.h"

#include <signal.h>
#include <string.h>

/* Longer than the manager waits for an answer. */
#define STOP_S 6
#define N_STOPS 3
#define ROUNDS_UNTIL_DISCONNECTED 3

struct arrivals {
    struct fake_agent *agent;
    guint n_wanted;
};

static bool have_arrived(void *user)
{
    const struct arrivals *arrivals = user;
    return g_queue_get_length(arrivals->agent->frozen) >= arrivals->n_wanted;
}

/* As many questions wait at the frozen host. */
static void wait_asked(struct fake_agent *agent, guint n)
{
    struct arrivals arrivals = {agent, n};
    harness_wait(have_arrived, &arrivals, "the manager to ask the host");
}

static bool was_listed(void *user)
{
    const struct arrivals *arrivals = user;
    return arrivals->agent->n_vm_lists >= arrivals->n_wanted;
}

static void wait_answered(struct fake_agent *agent)
{
    struct arrivals arrivals = {agent, agent->n_vm_lists + 2};
    harness_wait(was_listed, &arrivals, "the manager to ask for the VMs");
}

static bool has_passed(void *user)
{
    return *(bool *)user;
}

static gboolean pass(void *user)
{
    *(bool *)user = true;
    return G_SOURCE_REMOVE;
}

/* The length of the stop is what is tested: there is no event to wait for. */
static void let_pass(unsigned seconds)
{
    bool is_over = false;
    (void)g_timeout_add_seconds(seconds, pass, &is_over);
    harness_wait(has_passed, &is_over, "the time to pass");
}

static bool is_disconnected(void *user)
{
    struct answer answer = harness_call(user, "GET", "/v1/hosts/h2", NULL);
    bool is_so = !strcmp(text_of(answer.object, "state"), "disconnected");
    answer_clear(&answer);
    return is_so;
}

/* Number of the events that say so of h2. */
static unsigned n_disconnections(struct harness *harness)
{
    struct answer answer = harness_call(harness, "GET", "/v1/events?since=0", NULL);
    JsonArray *events = json_object_get_array_member(answer.object, "events");
    unsigned n = 0;
    bool was_connected = false;
    for (guint i = 0; i < json_array_get_length(events); i++) {
        JsonObject *event = json_array_get_object_element(events, i);
        if (strcmp(text_of(event, "kind"), "host") != 0)
            continue;
        JsonObject *host = json_object_get_object_member(event, "document");
        if (strcmp(text_of(host, "name"), "h2") != 0)
            continue;
        bool is_connected = !strcmp(text_of(host, "state"), "connected");
        n += was_connected && !is_connected;
        was_connected = is_connected;
    }
    assert_true(was_connected);
    answer_clear(&answer);
    return n;
}

/* Each stop begins with a question on its way, whose answer comes during the stop. */
static void a_manager_that_was_stopped_blames_no_host(void **state)
{
    struct harness *harness = *state;
    struct fake_agent *agent = &harness->destination;
    fake_agent_freeze(agent);
    for (unsigned i = 0; i < N_STOPS; i++) {
        wait_asked(agent, 1);
        assert_int_equal(kill(harness->pid, SIGSTOP), 0);
        fake_agent_thaw(agent);
        let_pass(STOP_S);
        fake_agent_freeze(agent);
        assert_int_equal(kill(harness->pid, SIGCONT), 0);
    }
    fake_agent_thaw(agent);
    wait_answered(agent);
    assert_int_equal(n_disconnections(harness), 0);
}

static void a_host_that_was_stopped_for_two_rounds_stays_connected(void **state)
{
    struct harness *harness = *state;
    struct fake_agent *agent = &harness->destination;
    fake_agent_freeze(agent);
    wait_asked(agent, ROUNDS_UNTIL_DISCONNECTED);
    fake_agent_thaw(agent);
    wait_answered(agent);
    assert_int_equal(n_disconnections(harness), 0);
}

static void a_host_that_is_silent_is_disconnected_after_three_rounds(void **state)
{
    struct harness *harness = *state;
    struct fake_agent *agent = &harness->destination;
    fake_agent_freeze(agent);
    harness_wait(is_disconnected, harness, "the host to be disconnected");
    guint n_asked = g_queue_get_length(agent->frozen);
    fake_agent_thaw(agent);
    assert_in_range(n_asked, ROUNDS_UNTIL_DISCONNECTED, ROUNDS_UNTIL_DISCONNECTED + 1);
    harness_wait_connected(harness, "h2");
}

static void a_host_that_is_gone_is_disconnected(void **state)
{
    struct harness *harness = *state;
    fake_agent_stop(&harness->destination);
    harness_wait(is_disconnected, harness, "the host to be disconnected");
    fake_agent_start(&harness->destination);
    harness_wait_connected(harness, "h2");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, harness_setup, harness_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_manager_that_was_stopped_blames_no_host),
        TEST(a_host_that_was_stopped_for_two_rounds_stays_connected),
        TEST(a_host_that_is_silent_is_disconnected_after_three_rounds),
        TEST(a_host_that_is_gone_is_disconnected),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
