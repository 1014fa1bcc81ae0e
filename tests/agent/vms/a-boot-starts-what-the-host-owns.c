/* SPDX-License-Identifier: Apache-2.0 */
/* A boot is played by another id in the file where the agent has noted the last one, and the manager's word
 * by a call. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "agent/autostart.h"
#include "agent/boot.h"
#include "agent/facts.h"
#include "agent/journal.h"
#include "fixture.h"

#define START_S 120

static bool is_done;

static void on_done(struct agent *agent, void *user)
{
    (void)agent;
    (void)user;
    is_done = true;
}

static void release(struct host *host, const char *const *except)
{
    is_done = false;
    autostart_release(&host->agent, except, on_done, NULL);
    wait_until(&is_done, START_S, "autostart");
}

static void run(struct host *host)
{
    autostart_prepare(&host->agent);
    release(host, NULL);
}

static struct vm *add(struct host *host, const char *name, bool autostart)
{
    struct vm_spec spec = checker_spec(name);
    struct vm *vm;
    struct err err = {0};
    spec.autostart = autostart;
    assert_int_equal(vm_create(&host->agent, &spec, &vm, &err), 0);
    return vm;
}

static void boot(struct host *host)
{
    char other[MODEL_UUID_SIZE];
    model_uuid_new(other);
    assert_int_equal(boot_record(&host->agent, other, NULL), 0);
}

static void take_down(struct vm *vm)
{
    struct answer answer = {0};
    vm_end(vm, take_answer, &answer);
    wait_ok(&answer, "end");
}

static void only_a_boot_starts_vms(void **state)
{
    (void)state;
    struct host *host = host_up(NULL);
    struct vm *vm = add(host, "with", true);
    struct vm *other = add(host, "without", false);
    run(host); /* the first agent of this host */
    assert_int_equal(vm->status.state, VM_OFF);
    run(host); /* a restart of the agent */
    assert_int_equal(vm->status.state, VM_OFF);
    boot(host);
    run(host);
    assert_int_equal(vm->status.state, VM_RUNNING);
    assert_int_equal(other->status.state, VM_OFF);
    /* What an operator stops stays off, whatever happens to the agent. */
    take_down(vm);
    run(host);
    assert_int_equal(vm->status.state, VM_OFF);
    host_down(host);
}

static bool is_pending(struct host *host)
{
    struct host_facts facts;
    facts_now(&host->agent, &facts);
    assert_int_equal(facts.autostart_pending, autostart_is_pending(&host->agent));
    return facts.autostart_pending;
}

static void nothing_starts_before_the_managers_word(void **state)
{
    (void)state;
    struct host *host = host_up(NULL);
    struct vm *vm = add(host, "mine", true);
    struct vm *other = add(host, "theirs", true);
    const char *const except[] = {other->status.spec.uuid, NULL};
    run(host);
    assert_false(is_pending(host));
    autostart_prepare(&host->agent); /* a restart of the agent */
    assert_false(is_pending(host));
    boot(host);
    autostart_prepare(&host->agent);
    assert_true(is_pending(host));
    assert_int_equal(vm->status.state, VM_OFF);
    /* The word, and once more. */
    release(host, except);
    assert_false(is_pending(host));
    assert_int_equal(vm->status.state, VM_RUNNING);
    assert_int_equal(other->status.state, VM_OFF);
    take_down(vm);
    release(host, NULL);
    assert_int_equal(vm->status.state, VM_OFF);
    assert_int_equal(other->status.state, VM_OFF);
    host_down(host);
}

static void the_journal_decides(void **state)
{
    (void)state;
    static const enum journal_step steps[] = {
        JOURNAL_OWNED,    JOURNAL_RESUMED, JOURNAL_NONE,    JOURNAL_GIVEN,
        JOURNAL_INCOMING, JOURNAL_GONE,    JOURNAL_ABORTED, JOURNAL_RETURNED,
    };
    struct vm *vms[G_N_ELEMENTS(steps)];
    struct host *host = host_up(NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(steps); i++) {
        g_autofree char *name = g_strdup_printf("vm%u", i);
        struct journal_entry entry = {.step = steps[i], .epoch = 7};
        model_uuid_new(entry.session);
        vms[i] = add(host, name, true);
        assert_int_equal(journal_write_sync(vms[i]->journal, &entry, NULL), 0);
    }
    boot(host);
    run(host);
    for (unsigned i = 0; i < G_N_ELEMENTS(steps); i++)
        if ((vms[i]->status.state == VM_RUNNING) !=
            (steps[i] == JOURNAL_OWNED || steps[i] == JOURNAL_RESUMED))
            fail_msg("%s: %s", journal_step_name(steps[i]), vm_state_name(vms[i]->status.state));
    host_down(host);
}

static void one_that_cannot_start_does_not_hold_up_the_next(void **state)
{
    (void)state;
    struct host *host = host_up(NULL);
    struct vm *first = add(host, "a", true);
    struct vm *second = add(host, "b", true);
    g_strlcpy(first->status.spec.kernel, "/no/such/kernel", sizeof first->status.spec.kernel);
    boot(host);
    run(host);
    assert_int_equal(first->status.state, VM_OFF);
    assert_int_equal(second->status.state, VM_RUNNING);
    host_down(host);
}

/* Killed in the middle: the boot counts as dealt with only when all were tried. */
static void what_an_agent_did_not_come_to_the_next_one_does(void **state)
{
    (void)state;
    struct host *host = host_up(NULL);
    struct vm *first = add(host, "a", true);
    struct vm *second = add(host, "b", true);
    char recorded[MODEL_UUID_SIZE];
    char now[MODEL_UUID_SIZE];
    assert_int_equal(boot_id_read(now, NULL), 0);
    boot(host);
    is_done = false;
    autostart_prepare(&host->agent);
    autostart_release(&host->agent, NULL, on_done, NULL);
    while (first->status.state != VM_RUNNING) {
        assert_int_equal(boot_recorded(&host->agent, recorded, NULL), 0);
        assert_string_not_equal(recorded, now);
        (void)g_main_context_iteration(NULL, TRUE);
    }
    assert_false(is_done);
    assert_int_equal(boot_recorded(&host->agent, recorded, NULL), 0);
    assert_string_not_equal(recorded, now);
    wait_until(&is_done, START_S, "autostart");
    assert_int_equal(second->status.state, VM_RUNNING);
    assert_int_equal(boot_recorded(&host->agent, recorded, NULL), 0);
    assert_string_equal(recorded, now);
    host_down(host);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_a_boot_starts_vms),
        cmocka_unit_test(nothing_starts_before_the_managers_word),
        cmocka_unit_test(the_journal_decides),
        cmocka_unit_test(one_that_cannot_start_does_not_hold_up_the_next),
        cmocka_unit_test(what_an_agent_did_not_come_to_the_next_one_does),
    };
    return cmocka_run_group_tests(tests, NULL, hosts_sweep);
}
