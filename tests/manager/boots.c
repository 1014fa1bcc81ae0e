/* SPDX-License-Identifier: Apache-2.0 */
/* A host was booted: the manager's word to start its VMs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "harness.h"

#include <string.h>

static bool is_released(void *user)
{
    return ((struct fake_agent *)user)->released != NULL;
}

static bool is_held(void *user)
{
    return ((struct fake_agent *)user)->held != NULL;
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

/* The manager has asked the host that often from now on. */
static void wait_for_polls(struct fake_agent *agent, unsigned n)
{
    struct lists lists = {agent, agent->n_vm_lists + n};
    harness_wait(was_listed, &lists, "the manager to ask for the VMs");
}

static guint n_excepted(const struct fake_agent *agent)
{
    return json_array_get_length(json_object_get_array_member(agent->released, "except"));
}

static void boot(struct fake_agent *agent)
{
    agent->is_booted = true;
    for (unsigned i = 0; i < agent->n_vms; i++) {
        agent->vms[i].spec.autostart = true;
        agent->vms[i].state = VM_OFF;
    }
}

static void the_word_comes_by_itself(void **state)
{
    struct harness *harness = *state;
    wait_for_polls(&harness->source, 2);
    assert_false(fake_agent_was_called(&harness->source, "POST autostart")); /* it was not booted */
    boot(&harness->source);
    harness_wait(is_released, &harness->source, "the word");
    assert_int_equal(n_excepted(&harness->source), 0);
    assert_false(fake_agent_was_called(&harness->destination, "POST autostart"));
}

static void a_refused_or_lost_word_is_repeated(void **state)
{
    struct harness *harness = *state;
    harness->source.hold = "POST autostart";
    boot(&harness->source);
    harness_wait(is_held, &harness->source, "the word");
    harness_kill(harness);
    harness->source.hold = NULL;
    harness->source.refuse = "POST autostart";
    http_reply(g_steal_pointer(&harness->source.held), 202, NULL);
    guint n_before = harness->source.calls->len;
    harness_start(harness);
    wait_for_polls(&harness->source, 3);
    assert_true(harness->source.calls->len > n_before);
    assert_false(is_released(&harness->source));
    harness->source.refuse = NULL;
    harness_wait(is_released, &harness->source, "the word again");
}

/* The hole that this closes: the host would start a VM that was given to another one while it was down. */
static void the_word_waits_for_the_settlements(void **state)
{
    struct harness *harness = *state;
    fake_agent_stop(&harness->source);
    struct answer answer = harness_call(harness, "POST", "/v1/vms/web/settle",
                                        "{\"owner\":\"h2\",\"confirm\":\"h2\",\"hosts_down\":[\"h1\"]}");
    assert_string_equal(answer.err.message, "");
    answer_clear(&answer);
    harness_kill(harness); /* the settlement is remembered */
    boot(&harness->source);
    harness->source.hold = "POST settle";
    fake_agent_start(&harness->source);
    harness_start(harness);
    harness_wait(is_held, &harness->source, "the order to give the VM up");
    wait_for_polls(&harness->source, 3);
    assert_false(fake_agent_was_called(&harness->source, "POST autostart"));
    harness->source.hold = NULL;
    struct err busy = {0};
    err_set(&busy, ERR_RETRY, "vm-busy", "busy");
    http_fail(g_steal_pointer(&harness->source.held), &busy);
    harness_wait(is_released, &harness->source, "the word");
    assert_int_equal(harness->source.n_orders_at_release, 1);
    assert_false(harness->source.order.is_owner);
}

/* No settlement is known; what the other host said before it went away, and the manager was restarted, tells.
 */
static void what_another_host_owns_in_a_later_epoch_is_left_off(void **state)
{
    struct harness *harness = *state;
    struct vm_status *mine = &harness->source.vms[0];
    (void)fake_agent_add_vm(&harness->source, "free", VM_OFF);
    struct vm_status *twin = fake_agent_add_vm(&harness->destination, "web", VM_OFF);
    memcpy(twin->spec.uuid, mine->spec.uuid, sizeof twin->spec.uuid);
    twin->epoch = mine->epoch + 1000;
    wait_for_polls(&harness->destination, 2);
    harness_kill(harness);
    fake_agent_stop(&harness->destination);
    boot(&harness->source);
    harness_start(harness);
    harness_wait(is_released, &harness->source, "the word");
    assert_int_equal(n_excepted(&harness->source), 1);
    assert_string_equal(
        json_array_get_string_element(json_object_get_array_member(harness->source.released, "except"), 0),
        mine->spec.uuid);
    g_autoptr(JsonObject) event = harness_wait_event(harness, "recovery", "action", "not started");
    assert_string_equal(text_of(event, "other_host"), "h2");
}

/* An old copy of the database knows neither the settlement nor what the other host owns now. */
static void the_word_waits_until_every_host_was_asked(void **state)
{
    struct harness *harness = *state;
    harness_kill(harness);
    struct vm_status *twin = fake_agent_add_vm(&harness->destination, "web", VM_OFF);
    memcpy(twin->spec.uuid, harness->source.vms[0].spec.uuid, sizeof twin->spec.uuid);
    twin->epoch = harness->source.vms[0].epoch + 1000;
    boot(&harness->source);
    fake_agent_freeze(&harness->destination);
    harness_start(harness);
    wait_for_polls(&harness->source, 1);
    fake_agent_thaw(&harness->destination);
    harness_wait(is_released, &harness->source, "the word");
    assert_int_equal(n_excepted(&harness->source), 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, harness_setup, harness_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_word_comes_by_itself),
        TEST(a_refused_or_lost_word_is_repeated),
        TEST(the_word_waits_for_the_settlements),
        TEST(the_word_waits_until_every_host_was_asked),
        TEST(what_another_host_owns_in_a_later_epoch_is_left_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
