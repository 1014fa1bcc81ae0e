/* SPDX-License-Identifier: Apache-2.0 */
/* Moves that no task of the manager knows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "harness.h"

#include <string.h>

static bool has_no_move(void *user)
{
    return !fake_agent_move(user);
}

static const char *web_uuid(const struct harness *harness)
{
    return harness->source.vms[0].spec.uuid;
}

static void what_was_not_given_away_is_cancelled(void **state)
{
    struct harness *harness = *state;
    g_autofree char *uuid = g_strdup(web_uuid(harness));
    (void)fake_agent_add_move(&harness->source, uuid, true, MOVE_COPYING);
    (void)fake_agent_add_move(&harness->destination, uuid, false, MOVE_COPYING);
    g_autoptr(JsonObject) event = harness_wait_event(harness, "recovery", "action", "cancelled");
    assert_string_equal(text_of(event, "vm"), "web");
    harness_wait(has_no_move, &harness->source, "the source to forget the move");
    harness_wait(has_no_move, &harness->destination, "the destination to forget the move");
    assert_true(fake_agent_was_called(&harness->source, "POST cancel"));
    assert_true(fake_agent_was_called(&harness->destination, "POST cancel"));
    assert_false(fake_agent_was_called(&harness->destination, "POST commit"));
}

static void what_is_over_is_forgotten(void **state)
{
    struct harness *harness = *state;
    (void)fake_agent_add_move(&harness->source, web_uuid(harness), true, MOVE_FAILED);
    harness_wait(has_no_move, &harness->source, "the move to be forgotten");
    assert_false(fake_agent_was_called(&harness->source, "POST cancel"));
}

/* Nobody knows the session: it waits, said once; then the host that took the VM can tell. */
static void what_was_given_away_waits_for_its_verdict(void **state)
{
    struct harness *harness = *state;
    g_autofree char *uuid = g_strdup(web_uuid(harness));
    struct fake_move *move = fake_agent_add_move(&harness->source, uuid, true, MOVE_GIVEN);
    memset(move->status.commit, 9, sizeof move->status.commit);
    g_autoptr(JsonObject) waits = harness_wait_event(harness, "recovery", "action", "waits");
    assert_string_equal(text_of(waits, "host"), "h1");
    assert_non_null(fake_agent_move(&harness->source));
    harness->destination.verdict = "returned";
    g_autoptr(JsonObject) settled = harness_wait_event(harness, "recovery", "action", "settled");
    assert_string_equal(text_of(settled, "vm_uuid"), uuid);
    harness_wait(has_no_move, &harness->source, "the source to forget the move");
    assert_false(fake_agent_was_called(&harness->source, "POST cancel"));
    assert_true(harness->source.got_verdict);
}

/* The task had to end; the source is not left alone with its doubt. */
static void a_task_in_doubt_is_settled_when_the_destination_knows_again(void **state)
{
    struct harness *harness = *state;
    harness->source.is_automatic = false;
    g_autofree char *task = harness_migrate(harness);
    g_autoptr(JsonObject) copying = harness_wait_phase(harness, task, "copy");
    fake_agent_set(&harness->source, MOVE_GIVEN);
    g_autoptr(JsonObject) end = harness_wait_final(harness, task);
    assert_string_equal(error_id_of(end), "ownership-in-doubt");
    assert_int_equal(fake_agent_move(&harness->source)->status.state, MOVE_GIVEN);
    harness->destination.verdict = "running";
    g_autoptr(JsonObject) settled = harness_wait_event(harness, "recovery", "action", "settled");
    assert_string_equal(text_of(settled, "move"), task);
    harness_wait(has_no_move, &harness->source, "the source to forget the move");
    harness_wait(has_no_move, &harness->destination, "the destination to forget the move");
    struct answer vm = harness_call(harness, "GET", "/v1/vms/web", NULL);
    assert_string_equal(text_of(vm.object, "host"), "h2");
    answer_clear(&vm);
}

static bool is_followed(void *user)
{
    return fake_agent_move(user)->poll != NULL;
}

/* The source is away for good. The destination runs the guest: that is enough to know. */
static void a_destination_that_runs_it_ends_the_task_of_a_silent_source(void **state)
{
    struct harness *harness = *state;
    harness->source.is_automatic = false;
    g_autofree char *task = harness_migrate(harness);
    g_autoptr(JsonObject) copying = harness_wait_phase(harness, task, "copy");
    harness_wait(is_followed, &harness->source, "the copy to be followed");
    fake_agent_stop(&harness->source);
    struct vm_status *vm = fake_agent_add_vm(&harness->destination, "web", VM_RUNNING);
    memcpy(vm->spec.uuid, web_uuid(harness), sizeof vm->spec.uuid);
    fake_agent_set(&harness->destination, MOVE_DONE);
    g_autoptr(JsonObject) end = harness_wait_final(harness, task);
    assert_string_equal(text_of(end, "state"), "success");
}

/* It has journaled that it never will: the source can only keep the VM. */
static void a_destination_that_refused_it_ends_the_task_of_a_silent_source(void **state)
{
    struct harness *harness = *state;
    harness->source.is_automatic = false;
    g_autofree char *task = harness_migrate(harness);
    g_autoptr(JsonObject) copying = harness_wait_phase(harness, task, "copy");
    harness_wait(is_followed, &harness->source, "the copy to be followed");
    fake_agent_stop(&harness->source);
    err_set(&fake_agent_move(&harness->destination)->status.error, ERR_PEER_LOST, "connection-lost", "gone");
    fake_agent_set(&harness->destination, MOVE_FAILED);
    g_autoptr(JsonObject) end = harness_wait_final(harness, task);
    assert_string_equal(text_of(end, "state"), "error");
    assert_string_equal(error_id_of(end), "connection-lost");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, harness_setup, harness_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_was_not_given_away_is_cancelled),
        TEST(what_is_over_is_forgotten),
        TEST(what_was_given_away_waits_for_its_verdict),
        TEST(a_task_in_doubt_is_settled_when_the_destination_knows_again),
        TEST(a_destination_that_runs_it_ends_the_task_of_a_silent_source),
        TEST(a_destination_that_refused_it_ends_the_task_of_a_silent_source),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
