/* SPDX-License-Identifier: Apache-2.0 */
/* While a move holds a VM its config file is read-only and no change of it is taken; a lease beside the file
 * says who holds it, is renewed by progress, ends a move that makes none, and goes with the move. */
#include <glib.h>
#include <string.h>

#include "agent/boot.h"
#include "agent/journal.h"
#include "base/clock.h"
#include "tests/agent/moves/lab.h"

static const struct err test_err = {.code = ERR_CANCELLED, .id = "test"};

static void set_term(struct lab *lab, uint32_t lease_s)
{
    for (unsigned i = 0; i < 2; i++)
        lab->host[i]->agent.config.lease_s = lease_s;
}

static void cancel(struct lab *lab, const char *id)
{
    for (unsigned i = 0; i < 2; i++)
        (void)moves_cancel(agent_of(lab, i == 0), id, &test_err, NULL);
    for (unsigned i = 0; i < 2; i++) {
        wait_for_state(agent_of(lab, i), id, MOVE_DONE);
        CHECK(moves_forget(agent_of(lab, i), id, NULL) == 0);
    }
}

static void check_refused(const struct err *err, const char *id)
{
    CHECK(err->code == ERR_REFUSED && !strcmp(err->id, "vm-is-moving"));
    CHECK(strstr(err->message, id) && err->fix[0]);
    CHECK(err_arg_find(err, "task") && !strcmp(err_arg_find(err, "task"), id));
    CHECK(err->phase[0] && err->side[0]);
}

static void check_change_is_refused(struct lab *lab, unsigned host, const char *id)
{
    struct vm *vm = vm_on(lab, host);
    struct vm_spec changed = vm->status.spec;
    struct err err = {0};
    changed.memory_mib *= 2;
    CHECK(vm_create(&lab->host[host]->agent, &changed, &vm, &err) < 0);
    check_refused(&err, id);
    CHECK(vm->status.spec.memory_mib * 2 == changed.memory_mib);
    err_clear(&err);
    g_autoptr(JsonObject) changes = NULL;
    CHECK(model_parse("{\"autostart\":true}", -1, &changes, NULL) == 0);
    CHECK(vm_set(vm, changes, &err) < 0 && !vm->status.spec.autostart);
    check_refused(&err, id);
    err_clear(&err);
    CHECK(vm_remove(vm, &err) < 0);
    check_refused(&err, id);
}

static void the_file_is_read_only_on_both_sides_until_the_move_ends(struct lab *lab)
{
    struct move_spec spec = {0};
    char boot_id[MODEL_UUID_SIZE];
    CHECK(config_mode(lab, lab->source) == 0600);
    prepare_move(lab, &spec);
    CHECK(config_mode(lab, lab->source) == 0400 && config_mode(lab, 1 - lab->source) == 0400);
    g_autoptr(JsonObject) lease = lease_file(lab, lab->source);
    CHECK(lease && boot_id_read(boot_id, NULL) == 0);
    CHECK(!strcmp(json_object_get_string_member(lease, "task"), spec.id));
    CHECK(!strcmp(json_object_get_string_member(lease, "boot_id"), boot_id));
    CHECK((uint64_t)json_object_get_int_member(lease, "epoch") == spec.epoch);
    CHECK((uint64_t)json_object_get_int_member(lease, "expires_ns") > clock_boot_ns());
    CHECK(!lease_file(lab, 1 - lab->source));
    check_change_is_refused(lab, lab->source, spec.id);
    check_change_is_refused(lab, 1 - lab->source, spec.id);
    cancel(lab, spec.id);
    check_one_runner(lab);
    CHECK(attempt(lab, "", false) == MOVE_DONE);
}

static void a_move_without_progress_is_given_up(struct lab *lab)
{
    static const char *const faults[] = {"source hang-copying", "source hang-after-stop"};
    for (unsigned i = 0; i < G_N_ELEMENTS(faults); i++) {
        struct move_spec spec = {0};
        set_term(lab, 1);
        set_fault(lab, faults[i]);
        start_move(lab, &spec);
        wait_for_state(agent_of(lab, true), spec.id, MOVE_DONE);
        struct move_status status = status_of(agent_of(lab, true), spec.id);
        CHECK(status.state == MOVE_FAILED && !strcmp(status.error.id, "lease-expired"));
        CHECK(strstr(status.error.message, "in vain for the") && status.error.fix[0]);
        cancel(lab, spec.id);
        check_one_runner(lab);
    }
    set_term(lab, 90);
    CHECK(attempt(lab, "", false) == MOVE_DONE);
}

static void a_move_that_is_never_started_is_given_up(struct lab *lab)
{
    struct move_spec spec = {0};
    set_term(lab, 1);
    prepare_move(lab, &spec);
    wait_for_state(agent_of(lab, true), spec.id, MOVE_DONE);
    struct move_status status = status_of(agent_of(lab, true), spec.id);
    CHECK(status.state == MOVE_FAILED && !strcmp(status.error.id, "lease-expired"));
    CHECK(strstr(status.error.message, "to start the copy"));
    cancel(lab, spec.id);
    set_term(lab, 90);
    check_one_runner(lab);
}

static gint64 renewals(struct lab *lab)
{
    g_autoptr(JsonObject) lease = lease_file(lab, lab->source);
    CHECK(lease);
    return json_object_get_int_member(lease, "renewals");
}

/* More renewals than fit into one term: without them it would have expired. */
static void progress_renews_the_lease(struct lab *lab)
{
    struct move_spec spec = {0};
    set_term(lab, 2);
    set_fault(lab, "source crawl");
    start_move(lab, &spec);
    while (renewals(lab) < 20) {
        CHECK(status_of(agent_of(lab, true), spec.id).state <= MOVE_COPYING);
        (void)g_main_context_iteration(NULL, TRUE);
    }
    cancel(lab, spec.id);
    set_term(lab, 90);
    check_one_runner(lab);
}

static gboolean on_tick(gpointer user)
{
    (void)user;
    return G_SOURCE_CONTINUE;
}

static void after_given_its_expiry_has_no_effect(struct lab *lab)
{
    struct move_spec spec = {0};
    set_term(lab, 1);
    set_fault(lab, "source hang-after-give");
    start_move(lab, &spec);
    struct agent *source = agent_of(lab, true);
    wait_for_state(source, spec.id, MOVE_GIVEN);
    struct vm *vm = vm_on(lab, lab->source);
    guint tick = g_timeout_add(20, on_tick, NULL);
    while (vm_lease_is_live(vm) || moves_find(source, spec.id) == NULL)
        (void)g_main_context_iteration(NULL, TRUE);
    for (unsigned i = 0; i < 100; i++) /* what its timer set off has been carried out */
        (void)g_main_context_iteration(NULL, FALSE);
    (void)g_source_remove(tick);
    CHECK(status_of(source, spec.id).state == MOVE_GIVEN && vm->status.state == VM_PAUSED);
    CHECK(config_mode(lab, lab->source) == 0400);
    check_change_is_refused(lab, lab->source, spec.id); /* GIVEN holds it without a lease too */
    relay(lab, spec.id);
    cancel(lab, spec.id);
    lab->source = 1 - lab->source;
    set_term(lab, 90);
    check_one_runner(lab);
}

/* What agents that were killed at the wrong moment, or hosts that lost their power, left behind. */
static void a_lease_that_nobody_stands_behind_is_released_by_the_next_agent(struct lab *lab)
{
    struct vm *vm = vm_on(lab, lab->source);
    char task[MODEL_UUID_SIZE];
    struct err err = {0};
    struct journal_entry entry;
    model_uuid_new(task);
    journal_read(vm->journal, &entry);

    /* Killed between the lease and the journal. */
    CHECK(vm_lease_take(vm, task, entry.epoch + 1, &err) == 0);
    CHECK(config_mode(lab, lab->source) == 0400);
    memset(&vm->lease, 0, sizeof vm->lease);
    vm_lease_load(vm);
    CHECK(config_mode(lab, lab->source) == 0600 && !lease_file(lab, lab->source));

    /* In the journal, and of this boot: it stays. */
    struct journal_entry sending = entry;
    sending.step = JOURNAL_SENDING;
    g_strlcpy(sending.session, task, sizeof sending.session);
    CHECK(journal_write_sync(vm->journal, &sending, &err) == 0);
    CHECK(vm_lease_take(vm, task, entry.epoch + 1, &err) == 0);
    memset(&vm->lease, 0, sizeof vm->lease);
    vm_lease_load(vm);
    CHECK(vm_lease_is_live(vm) && config_mode(lab, lab->source) == 0400);
    CHECK(vm_check_free(vm, &err) < 0);
    check_refused(&err, task);

    /* In the journal, and of another boot: over. */
    g_autofree char *path =
        g_strdup_printf("%s/vms/%s.lease", vm->agent->config.state_dir, vm->status.spec.uuid);
    g_autofree char *text = NULL;
    CHECK(g_file_get_contents(path, &text, NULL, NULL));
    char *boot_id = strstr(text, vm->lease.boot_id);
    CHECK(boot_id);
    *boot_id = *boot_id == '0' ? '1' : '0';
    CHECK(g_file_set_contents(path, text, -1, NULL));
    memset(&vm->lease, 0, sizeof vm->lease);
    vm_lease_load(vm);
    CHECK(!vm_lease_is_live(vm) && config_mode(lab, lab->source) == 0600);
    CHECK(journal_write_sync(vm->journal, &entry, &err) == 0);
    check_one_runner(lab);
}

/* One argument: the number of the only case to run. */
int main(int argc, char **argv)
{
    static void (*const cases[])(struct lab * lab) = {
        the_file_is_read_only_on_both_sides_until_the_move_ends,
        a_move_without_progress_is_given_up,
        a_move_that_is_never_started_is_given_up,
        progress_renews_the_lease,
        after_given_its_expiry_has_no_effect,
        a_lease_that_nobody_stands_behind_is_released_by_the_next_agent,
    };
    struct lab lab = {0};
    if (geteuid() != 0)
        return 77;
    lab_up(&lab, NULL, NULL);
    lab_start_guest(&lab);
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++)
        if (argc < 2 || (unsigned)atoi(argv[1]) == i)
            cases[i](&lab);
    lab_down(&lab);
    return 0;
}
