/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/settle.h"

#include <string.h>
#include <unistd.h>

#include "agent/move.h"
#include "agent/vm_process.h"
#include "base/log.h"

#define CONT_MS 5000

struct settling {
    struct agent *agent;
    char uuid[MODEL_UUID_SIZE];
    struct settle_order order;
    bool has_arrived; /* by a move: a shell here is the guest */
    settle_done done;
    void *user;
};

/* ---- what is known ---- */

static struct move *move_of(struct agent *agent, const char *uuid)
{
    GHashTableIter iter;
    gpointer value;
    g_hash_table_iter_init(&iter, agent->moves);
    while (g_hash_table_iter_next(&iter, NULL, &value))
        if (!((struct move *)value)->is_here && !strcmp(((struct move *)value)->spec.vm.uuid, uuid))
            return value;
    return NULL;
}

/* A shell counts as the guest only once COMMIT has come: before, giving the VM up at the source ends it too.
 */
static bool has_arrived(const struct move *move)
{
    return !move->status.is_source && move->entry.step == JOURNAL_OWNED;
}

static void look_at_journal(struct agent *agent, const char *uuid, struct ownership *ownership)
{
    struct journal *journal;
    struct journal_entry entry;
    struct err err;
    if (move_open_journal(agent, uuid, false, &journal, &err) < 0) {
        g_strlcpy(ownership->journal, err.code == ERR_NOT_FOUND ? OWNERSHIP_ABSENT : OWNERSHIP_CORRUPT,
                  sizeof ownership->journal);
        return;
    }
    journal_read(journal, &entry);
    journal_close(journal);
    g_strlcpy(ownership->journal, journal_step_name(entry.step), sizeof ownership->journal);
    g_strlcpy(ownership->session, entry.session, sizeof ownership->session);
    ownership->epoch = entry.epoch;
    ownership->is_destination = entry.is_destination;
    explicit_bzero(&entry, sizeof entry);
}

void settle_look(struct agent *agent, const char *uuid, struct ownership *ret_ownership)
{
    const struct vm *vm = vm_find(agent, uuid);
    *ret_ownership = (struct ownership){.is_registered = vm != NULL};
    g_strlcpy(ret_ownership->uuid, uuid, sizeof ret_ownership->uuid);
    look_at_journal(agent, uuid, ret_ownership);
    if (!vm)
        return;
    const struct move *move = move_of(agent, uuid);
    ret_ownership->spec = vm->status.spec;
    ret_ownership->pid = vm->status.pid;
    ret_ownership->has_guest = vm->process && (!vm->incoming || (move && has_arrived(move)));
    g_strlcpy(ret_ownership->state, vm_state_name(vm->status.state), sizeof ret_ownership->state);
}

/* ---- the order ---- */

static void answer(struct settling *settling, const struct err *err)
{
    struct ownership ownership;
    settle_look(settling->agent, settling->uuid, &ownership);
    settling->done(&ownership, err, settling->user);
    g_free(settling);
}

/* The VM's journal, also when it is damaged; the caller closes it. */
static int open_journal(struct settling *settling, struct journal **ret_journal, struct err *err)
{
    g_autofree char *path = vm_journal_path(settling->agent, settling->uuid);
    if (journal_open(path, ret_journal, err) == 0)
        return 0;
    if (err->code != ERR_CORRUPT)
        return -1;
    err_clear(err);
    return journal_replace(path, ret_journal, err);
}

static enum journal_step ordered_step(const struct settling *settling)
{
    return settling->order.is_owner ? JOURNAL_OWNED : JOURNAL_GONE;
}

static int check_epoch(const struct settling *settling, uint64_t known, struct err *err)
{
    if (known < settling->order.epoch)
        return 0;
    (void)err_set(err, ERR_REFUSED, "epoch-too-old", "host %s knows epoch %llu of VM %s, the order is %llu",
                  settling->agent->config.name, (unsigned long long)known, settling->uuid,
                  (unsigned long long)settling->order.epoch);
    (void)err_arg(err, "host", "%s", settling->agent->config.name);
    (void)err_arg(err, "vm", "%s", settling->uuid);
    (void)err_arg(err, "order_epoch", "%llu", (unsigned long long)settling->order.epoch);
    (void)err_arg(err, "epoch", "%llu", (unsigned long long)known);
    return err_fix(err, "look at 'godwit vm settle' again and repeat it: it takes a higher epoch");
}

static int check_config(const struct settling *settling, struct err *err)
{
    const struct settle_order *order = &settling->order;
    if (order->has_spec && !strcmp(order->spec.uuid, settling->uuid))
        return 0;
    (void)err_set(err, ERR_REFUSED, "vm-config-missing", "host %s has no config file of VM %s",
                  settling->agent->config.name, settling->uuid);
    (void)err_arg(err, "host", "%s", settling->agent->config.name);
    (void)err_arg(err, "vm", "%s", settling->uuid);
    return err_fix(err, "choose a host that has it, or bring one back that has");
}

/* Before a move is ended for it: an order that is refused changes nothing. */
static int check_order(const struct settling *settling, struct err *err)
{
    const struct settle_order *order = &settling->order;
    struct ownership known;
    settle_look(settling->agent, settling->uuid, &known);
    bool was_said = known.epoch == order->epoch && !known.session[0] &&
                    !strcmp(known.journal, journal_step_name(ordered_step(settling)));
    if (!was_said && check_epoch(settling, known.epoch, err) < 0)
        return -1;
    return order->is_owner && !known.is_registered ? check_config(settling, err) : 0;
}

/* Durable when this returns 0. What a destination has said of a session stays only where it was RUNNING: any
 * other verdict would give the VM back to a source that has not heard of the operator's word. */
static int write_entry(struct settling *settling, struct journal *journal, struct err *err)
{
    struct journal_entry old;
    struct journal_entry entry = {.step = ordered_step(settling), .epoch = settling->order.epoch};
    journal_read(journal, &old);
    if (old.epoch == entry.epoch && old.step == entry.step && !old.session[0])
        return 0; /* said before */
    if (check_epoch(settling, old.epoch, err) < 0)
        return -1;
    journal_last_session(&old, &entry.past);
    if (entry.past.verdict != VERDICT_RUNNING)
        memset(&entry.past, 0, sizeof entry.past);
    if (journal_write_sync(journal, &entry, err) < 0)
        return -1;
    log_warn("VM %s: settled by the operator: %s in epoch %llu; before: %s in epoch %llu", settling->uuid,
             journal_step_name(entry.step), (unsigned long long)entry.epoch, journal_step_name(old.step),
             (unsigned long long)old.epoch);
    return 0;
}

/* Unless an order that came while it ended made this host the owner. */
static void forget(struct vm *vm)
{
    if (!journal_may_run(vm->journal))
        vm_forget(vm);
}

static void given_up(struct vm *vm, const struct err *err, void *user)
{
    forget(vm);
    answer(user, err);
}

static void give_up(struct settling *settling)
{
    struct err err = {0};
    struct journal *journal;
    struct vm *vm = vm_find(settling->agent, settling->uuid);
    g_autofree char *path = vm_journal_path(settling->agent, settling->uuid);
    if (!vm && access(path, F_OK) < 0) {
        answer(settling, &err);
        return;
    }
    if (open_journal(settling, &journal, &err) == 0) {
        (void)write_entry(settling, journal, &err);
        journal_close(journal);
    }
    if (err_is_set(&err) || !vm)
        answer(settling, &err);
    else
        vm_end(vm, given_up, settling);
}

static void runs(struct vm *vm, enum vm_cont_result result, const struct err *err, void *user)
{
    if (result != VM_CONT_RUNS)
        log_error(err, "VM %s belongs to this host and does not run", vm->status.spec.name);
    answer(user, &(struct err){0}); /* it is the owner all the same; its state says how it stands */
}

static int register_vm(struct settling *settling, struct vm **ret_vm, struct err *err)
{
    const struct settle_order *order = &settling->order;
    if (check_config(settling, err) < 0)
        return -1;
    *ret_vm = vm_new(settling->agent, &order->spec);
    if (vm_config_write(*ret_vm, &order->spec, "", err) == 0)
        return 0;
    vm_forget(*ret_vm);
    return -1;
}

static void own(struct settling *settling)
{
    struct err err = {0};
    struct journal *journal = NULL;
    struct vm *vm = vm_find(settling->agent, settling->uuid);
    /* The config file first: without the journal's word it lets nothing run. */
    if ((!vm && register_vm(settling, &vm, &err) < 0) || open_journal(settling, &journal, &err) < 0 ||
        write_entry(settling, journal, &err) < 0) {
        journal_close(journal);
        answer(settling, &err);
        return;
    }
    journal_close(vm->journal);
    vm->journal = journal;
    vm_lease_release(vm); /* kept while a damaged journal said nothing of its move */
    vm_refresh(vm);
    bool stands = vm->status.state == VM_PAUSED || vm->status.state == VM_INCOMING;
    if (vm->process && stands)
        vm_cont(vm, CONT_MS, runs, settling);
    else
        answer(settling, &err);
}

static void shell_ended(struct vm *vm, const struct err *err, void *user)
{
    (void)vm;
    if (err_is_set(err))
        answer(user, err);
    else
        own(user);
}

static void obey(struct settling *settling)
{
    struct err err = {0};
    struct vm *vm = vm_find(settling->agent, settling->uuid);
    if (vm && (vm->n_conts || vm->status.state == VM_STARTING)) {
        (void)err_set(&err, ERR_RETRY, "vm-busy", "VM %s is being started", vm->status.spec.name);
        (void)err_arg(&err, "vm", "%s", vm->status.spec.name);
        (void)err_arg(&err, "what", "start");
        (void)err_fix(&err, "repeat the command");
        answer(settling, &err);
    } else if (!settling->order.is_owner) {
        give_up(settling);
    } else if (vm && vm->process && vm->incoming && !settling->has_arrived) {
        vm_end(vm, shell_ended, settling);
    } else {
        own(settling);
    }
}

/* ---- moves end first, so that nobody else writes the journal ---- */

static void overrule_next(struct settling *settling);

static void overruled(struct move *move, const struct handover_answer *given, const struct err *err,
                      void *user)
{
    (void)given;
    (void)err;
    struct settling *settling = user;
    struct err problem = {0};
    if (moves_forget(settling->agent, move->status.id, &problem) < 0)
        answer(settling, &problem);
    else
        overrule_next(settling);
}

static void overrule_next(struct settling *settling)
{
    struct move *move = move_of(settling->agent, settling->uuid);
    if (!move) {
        obey(settling);
        return;
    }
    settling->has_arrived |= has_arrived(move);
    handover_submit(move, HANDOVER_OVERRULED, NULL, NULL, overruled, settling);
}

void settle_apply(struct agent *agent, const char *uuid, const struct settle_order *order, settle_done done,
                  void *user)
{
    struct settling *settling = g_new0(struct settling, 1);
    *settling = (struct settling){.agent = agent, .order = *order, .done = done, .user = user};
    g_strlcpy(settling->uuid, uuid, sizeof settling->uuid);
    struct err err = {0};
    if (check_order(settling, &err) < 0)
        answer(settling, &err);
    else
        overrule_next(settling);
}

static void leftover_ended(struct vm *vm, const struct err *err, void *user)
{
    (void)user;
    if (err_is_set(err))
        log_error(err, "ending QEMU of VM %s", vm->status.spec.name);
    forget(vm);
}

void settle_recover(struct agent *agent)
{
    g_autoptr(GPtrArray) left = g_ptr_array_new();
    GHashTableIter iter;
    gpointer value;
    g_hash_table_iter_init(&iter, agent->vms);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const struct vm *vm = value;
        struct journal_entry entry = {0};
        if (vm->journal)
            journal_read(vm->journal, &entry);
        if (entry.step == JOURNAL_GONE && !entry.session[0])
            g_ptr_array_add(left, value);
    }
    for (guint i = 0; i < left->len; i++)
        vm_end(left->pdata[i], leftover_ended, NULL);
}
