/* SPDX-License-Identifier: Apache-2.0 */
/* The operator settles a VM by hand, in the middle of a move and after one: the old owner gives it up, then
 * the new one has it; what belongs to the old session moves nothing any more; the VM stays usable. */
#include <glib.h>
#include <string.h>
#include <unistd.h>

#include "agent/journal.h"
#include "agent/settle.h"
#include "base/log.h"
#include "tests/agent/moves/lab.h"

static uint64_t epoch = 1000;

struct settled {
    bool there;
    struct ownership ownership;
    struct err err;
};

static void take_settled(const struct ownership *ownership, const struct err *err, void *user)
{
    struct settled *settled = user;
    settled->there = true;
    settled->ownership = *ownership;
    settled->err = *err;
}

static struct settled settle(struct lab *lab, unsigned host, struct settle_order order)
{
    struct settled settled = {0};
    settle_apply(&lab->host[host]->agent, lab->uuid, &order, take_settled, &settled);
    wait_until(&settled.there, 60, "settle");
    return settled;
}

/* As the manager does it: the loser first. */
static void settle_with(struct lab *lab, unsigned owner, struct settle_order order)
{
    order.is_owner = true;
    order.epoch = epoch += 1000;
    struct settled loser = settle(lab, 1 - owner, (struct settle_order){.epoch = epoch});
    if (err_is_set(&loser.err))
        log_error(&loser.err, "giving up");
    CHECK(!err_is_set(&loser.err) && !loser.ownership.is_registered && !loser.ownership.pid);
    CHECK(!ownership_claims(loser.ownership.journal));
    struct settled winner = settle(lab, owner, order);
    if (err_is_set(&winner.err))
        log_error(&winner.err, "owning");
    CHECK(!err_is_set(&winner.err) && !strcmp(winner.ownership.journal, "OWNED"));
    CHECK(winner.ownership.epoch == epoch);
    lab->source = owner;
}

static void settle_to(struct lab *lab, unsigned owner)
{
    settle_with(lab, owner, (struct settle_order){0});
}

static void settle_with_config(struct lab *lab, unsigned owner)
{
    struct settle_order order = {.has_spec = true, .spec = vm_on(lab, lab->source)->status.spec};
    settle_with(lab, owner, order);
}

/* Source GIVEN, and the destination has the whole guest and has not heard of COMMIT. */
static void bring_into_doubt(struct lab *lab, struct move_spec *spec, struct move_status *ret_source)
{
    *spec = (struct move_spec){0};
    set_fault(lab, "destination hang-before-cont");
    start_move(lab, spec);
    wait_for_state(agent_of(lab, true), spec->id, MOVE_GIVEN);
    *ret_source = status_of(agent_of(lab, true), spec->id);
}

static void check_moves_work(struct lab *lab)
{
    check_one_runner(lab);
    CHECK(attempt(lab, "", false) == MOVE_DONE);
}

/* COMMIT of the old session arrives late: it runs nothing, and nothing is said of that session. */
static void check_late_commit(struct lab *lab, unsigned host, const char *id, const uint8_t *commit)
{
    struct verdict verdict = {0};
    moves_commit(&lab->host[host]->agent, id, lab->uuid, commit, take_verdict, &verdict);
    wait_until(&verdict.there, 60, "a late COMMIT");
    CHECK(!strcmp(verdict.err.id, "session-unknown"));
}

static void the_source_of_a_doubt_may_have_it(struct lab *lab)
{
    struct move_spec spec;
    struct move_status source;
    bring_into_doubt(lab, &spec, &source);
    unsigned destination = 1 - lab->source;
    settle_to(lab, lab->source);
    check_one_runner(lab);
    CHECK(!moves_find(agent_of(lab, true), spec.id) && !moves_find(agent_of(lab, false), spec.id));
    check_late_commit(lab, destination, spec.id, source.commit);
    check_moves_work(lab);
}

/* The shell is not the guest: it is ended, and the VM is off on its new host. */
static void start_anew(struct lab *lab)
{
    struct vm *vm = vm_on(lab, lab->source);
    struct answer started = {0};
    CHECK(vm && vm->status.state == VM_OFF && journal_may_run(vm->journal));
    set_fault(lab, "");
    vm_start(vm, take_answer, &started);
    wait_ok(&started, "start");
    check_moves_work(lab);
}

static void the_destination_of_a_doubt_may_have_it(struct lab *lab)
{
    struct move_spec spec;
    struct move_status source;
    bring_into_doubt(lab, &spec, &source);
    /* An ABORTED that was never heard would give the VM back to its old source. */
    (void)moves_cancel(agent_of(lab, false), spec.id, &(struct err){.code = ERR_CANCELLED, .id = "test"},
                       NULL);
    wait_for_state(agent_of(lab, false), spec.id, MOVE_DONE);
    settle_with_config(lab, 1 - lab->source);
    check_late_commit(lab, lab->source, spec.id, source.commit);
    start_anew(lab);
}

static void a_half_loaded_shell_is_never_run(struct lab *lab)
{
    struct move_spec spec = {0};
    set_fault(lab, "source hang-copying");
    start_move(lab, &spec);
    wait_for_state(agent_of(lab, true), spec.id, MOVE_COPYING);
    settle_with_config(lab, 1 - lab->source);
    start_anew(lab);
}

/* COMMIT has come, and both jobs are deaf: the guest runs where it arrived. */
static void a_guest_that_arrived_runs_on(struct lab *lab)
{
    struct move_spec spec = {0};
    set_fault(lab, "destination hang-after-cont");
    start_move(lab, &spec);
    while (status_of(agent_of(lab, false), spec.id).verdict != VERDICT_RUNNING)
        (void)g_main_context_iteration(NULL, TRUE);
    settle_to(lab, 1 - lab->source);
    check_moves_work(lab);
}

static void a_host_without_the_config_gets_it(struct lab *lab)
{
    unsigned owner = 1 - lab->source;
    struct settle_order order = {.is_owner = true, .has_spec = true};
    order.spec = vm_on(lab, lab->source)->status.spec;
    order.epoch = epoch += 1000;
    CHECK(!settle(lab, lab->source, (struct settle_order){.epoch = epoch}).err.code);
    struct settle_order bare = {.is_owner = true, .epoch = epoch};
    CHECK(!strcmp(settle(lab, owner, bare).err.id, "vm-config-missing"));
    CHECK(!settle(lab, owner, order).err.code);
    CHECK(!settle(lab, owner, order).err.code); /* repeated */
    lab->source = owner;
    start_anew(lab);
}

static void an_order_of_an_old_epoch_is_refused(struct lab *lab)
{
    struct settle_order old = {.epoch = epoch - 1};
    struct settled settled = settle(lab, lab->source, old);
    CHECK(!strcmp(settled.err.id, "epoch-too-old"));
    check_one_runner(lab);
}

/* "None of these changes anything": the move that would have to end for it goes on. */
static void a_refused_order_ends_no_move(struct lab *lab)
{
    struct move_spec spec = {0};
    set_fault(lab, "source hang-copying");
    start_move(lab, &spec);
    wait_for_state(agent_of(lab, true), spec.id, MOVE_COPYING);
    struct settle_order old = {.epoch = epoch - 1};
    CHECK(!strcmp(settle(lab, lab->source, old).err.id, "epoch-too-old"));
    CHECK(!strcmp(settle(lab, 1 - lab->source, old).err.id, "epoch-too-old"));
    for (unsigned i = 0; i < 2; i++)
        CHECK(status_of(agent_of(lab, i), spec.id).state < MOVE_DONE);
    settle_to(lab, lab->source);
    set_fault(lab, "");
    check_moves_work(lab);
}

/* A manager that waited too long repeats it. */
static void an_order_may_come_twice_at_once(struct lab *lab)
{
    struct agent *old = agent_of(lab, true);
    struct settle_order owner = {.is_owner = true, .has_spec = true};
    struct settle_order loser = {.epoch = epoch += 1000};
    struct settled first = {0};
    struct settled second = {0};
    owner.spec = vm_on(lab, lab->source)->status.spec;
    owner.epoch = epoch;
    settle_apply(old, lab->uuid, &loser, take_settled, &first);
    settle_apply(old, lab->uuid, &loser, take_settled, &second);
    wait_until(&first.there, 60, "the first order");
    wait_until(&second.there, 60, "the second order");
    CHECK(!first.err.code && !second.err.code && !second.ownership.is_registered);
    lab->source = 1 - lab->source;
    CHECK(!settle(lab, lab->source, owner).err.code);
    start_anew(lab);
}

static void the_later_of_two_orders_counts(struct lab *lab)
{
    struct agent *agent = agent_of(lab, true);
    struct settle_order loser = {.epoch = epoch += 1000};
    struct settle_order owner = {.is_owner = true, .epoch = epoch += 1000};
    struct settled first = {0};
    struct settled second = {0};
    CHECK(!settle(lab, 1 - lab->source, loser).err.code);
    settle_apply(agent, lab->uuid, &loser, take_settled, &first);
    settle_apply(agent, lab->uuid, &owner, take_settled, &second);
    wait_until(&first.there, 60, "the first order");
    wait_until(&second.there, 60, "the second order");
    CHECK(!first.err.code && !second.err.code);
    CHECK(config_mode(lab, lab->source) == 0600);
    start_anew(lab);
}

static unsigned n_damaged(const char *folder)
{
    g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
    const char *name;
    unsigned n = 0;
    while (dir && (name = g_dir_read_name(dir)))
        n += strstr(name, ".journal.damaged-") != NULL;
    return n;
}

static void a_damaged_journal_is_kept_aside(struct lab *lab)
{
    struct agent *other = agent_of(lab, false);
    g_autofree char *folder = g_strdup_printf("%s/vms", other->config.state_dir);
    g_autofree char *path = g_strdup_printf("%s/%s.journal", folder, lab->uuid);
    struct ownership ownership;
    CHECK(g_file_set_contents(path, "no journal", -1, NULL));
    settle_look(other, lab->uuid, &ownership);
    CHECK(!strcmp(ownership.journal, OWNERSHIP_CORRUPT));
    settle_to(lab, lab->source);
    settle_look(other, lab->uuid, &ownership);
    CHECK(!strcmp(ownership.journal, "GONE") && ownership.epoch == epoch && n_damaged(folder) == 1);
    check_moves_work(lab);
}

int main(void)
{
    struct lab lab = {0};
    if (geteuid() != 0)
        return 77;
    lab_up(&lab, NULL, NULL);
    lab_start_guest(&lab);
    the_source_of_a_doubt_may_have_it(&lab);
    the_destination_of_a_doubt_may_have_it(&lab);
    a_half_loaded_shell_is_never_run(&lab);
    a_guest_that_arrived_runs_on(&lab);
    a_host_without_the_config_gets_it(&lab);
    an_order_of_an_old_epoch_is_refused(&lab);
    a_refused_order_ends_no_move(&lab);
    an_order_may_come_twice_at_once(&lab);
    the_later_of_two_orders_counts(&lab);
    a_damaged_journal_is_kept_aside(&lab);
    lab_down(&lab);
    return 0;
}
