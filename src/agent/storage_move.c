/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/storage_move.h"

#include <string.h>

#include "agent/disk_images.h"
#include "agent/disk_look.h"
#include "agent/disks.h"
#include "agent/move.h"
#include "agent/storage_convert.h"
#include "agent/storage_copy.h"
#include "agent/storage_settle.h"
#include "agent/vm_process.h"
#include "base/clock.h"
#include "base/log.h"
#include "model/check_table.h"
#include "model/vm_disks.h"

#define BLOCK_BYTES 512u
#define MB 1000000ull
#define MS_PER_S 1000u
/* A QEMU that ends breaks its copies off first. */
#define REASON_MS 300u

enum stage {
    STAGE_MAKING,   /* the new images */
    STAGE_MADE,     /* waits for the start */
    STAGE_COPYING,  /* `copy` or `convert` is there */
    STAGE_SETTLING, /* storage_settle, or what still comes before it */
};

struct storage_move {
    struct move *move; /* a reference */
    enum stage stage;
    bool is_failed; /* the move's error says why */
    struct disk_images_here here;
    struct storage_copy *copy;       /* of a VM that runs */
    struct storage_convert *convert; /* of one that is off */
    guint timer;                     /* until it must have been started, or have gone over */
    struct err copy_error;           /* which is the reason, if nobody knows a better one in a moment */
    uint64_t stop_ns;                /* when the guest was asked to stand */
    vm_done adopted;                 /* of storage_adopt */
    void *adopted_user;
};

static struct vm *vm_of(const struct storage_move *storage)
{
    return vm_find(storage->move->agent, storage->move->spec.vm.uuid);
}

static bool is_hot(const struct vm *vm)
{
    return vm->process != NULL;
}

/* ---- what is meant, and what is in its way ---- */

static int refuse_changed(const struct vm *vm, struct err *err)
{
    (void)err_set(err, ERR_RETRY, "disks-have-changed", "the disks of VM '%s' have just been changed",
                  vm->status.spec.name);
    (void)err_arg(err, "vm", "%s", vm->status.spec.name);
    return err_fix(err, "start the migration again");
}

/* The VM is this host's to know; the specification says which of its disks go where. */
static int take_places(const struct vm *vm, const struct move_spec *spec, struct move_spec *ret_spec,
                       struct err *err)
{
    const struct vm_spec *now = &vm->status.spec;
    *ret_spec = *spec;
    ret_spec->vm = *now;
    (void)g_strlcpy(ret_spec->accel, vm->status.accel, sizeof ret_spec->accel);
    for (uint32_t i = 0; i < spec->n_disks; i++) {
        uint32_t disk = spec->disks[i].disk;
        if (spec->vm.n_disks != now->n_disks || disk >= now->n_disks || vm_disk_is_cdrom(&now->disks[disk]) ||
            vm_disk_slot(&spec->vm, disk) != vm_disk_slot(now, disk))
            return refuse_changed(vm, err);
        struct vm_disk *to = &ret_spec->vm.disks[disk];
        to->path[0] = '\0';
        memcpy(to->datastore, spec->vm.disks[disk].datastore, sizeof to->datastore);
        memcpy(to->file, spec->vm.disks[disk].file, sizeof to->file);
        to->moves = is_hot(vm) ? to->moves % VM_DISK_MOVES_MAX + 1 : 0;
        if (vm_disk_is_same(&now->disks[disk], to))
            return refuse_changed(vm, err);
    }
    return vm_spec_check(&ret_spec->vm, err);
}

static int measure(const struct vm *vm, struct move_spec *spec, struct err *err)
{
    g_autofree struct disk_look *look = g_new0(struct disk_look, 1);
    for (uint32_t i = 0; i < spec->n_disks; i++) {
        const struct vm_disk *disk = &vm->status.spec.disks[spec->disks[i].disk];
        if (disks_look(vm->agent, &vm->status.spec, disk, is_hot(vm), look, err) < 0 ||
            disks_refuse(vm->agent, &vm->status.spec, disk, look, err) < 0)
            return -1;
        spec->disks[i].size_bytes = (look->virtual_bytes + BLOCK_BYTES - 1) / BLOCK_BYTES * BLOCK_BYTES;
        spec->disks[i].used_bytes = MIN(look->data_bytes, look->virtual_bytes);
    }
    return 0;
}

static int check_state(const struct vm *vm, struct err *err)
{
    const struct vm_status *status = &vm->status;
    bool is_on = is_hot(vm) && status->state == VM_RUNNING && !vm->ending;
    if (is_on || (!is_hot(vm) && status->state == VM_OFF && !vm->n_conts))
        return 0;
    return check_say(err, check_why_not_running(status->problem),
                     CHECK_ARGS({"host", vm->agent->config.name}, {"vm", status->spec.name},
                                {"state", vm->ending ? "being stopped" : vm_state_name(status->state)},
                                {"problem", status->problem}));
}

static void find_at_vm(struct agent *agent, const struct move_spec *spec, struct vm *vm,
                       struct findings *findings)
{
    struct err err = {0};
    findings_note(findings, source_check_free(agent, spec, vm, &err), &err);
    findings_note(findings, vm_check_owned(vm, &err), &err);
    findings_note(findings, check_state(vm, &err), &err);
    disks_find_store_problems(agent, &vm->status.spec, findings);
}

static void find_at_datastore(struct agent *agent, const struct move_spec *spec, const struct vm *vm,
                              struct findings *findings)
{
    g_autofree struct move_spec *meant = g_new(struct move_spec, 1);
    struct err err = {0};
    if (take_places(vm, spec, meant, &err) < 0) {
        findings_note(findings, -1, &err);
        return;
    }
    disks_find_store_problems(agent, &meant->vm, findings);
    findings_note(findings, measure(vm, meant, &err), &err);
    disk_images_find_problems(agent, meant, findings);
}

void storage_find_problems(struct agent *agent, const struct move_spec *spec, bool as_source,
                           struct findings *findings)
{
    struct vm *vm = vm_find(agent, spec->vm.uuid);
    struct err err = {0};
    int here = source_check_here(agent, spec, vm, &err);
    findings_note(findings, here, &err);
    if (here < 0)
        return;
    if (as_source)
        find_at_vm(agent, spec, vm, findings);
    else
        find_at_datastore(agent, spec, vm, findings);
}

/* ---- the end ---- */

static void set_timer(struct storage_move *storage, unsigned ms, GSourceFunc call)
{
    if (storage->timer)
        (void)g_source_remove(storage->timer);
    storage->timer = ms ? g_timeout_add(ms, call, storage) : 0;
}

static void let_go(struct move *move)
{
    struct vm *vm = vm_find(move->agent, move->spec.vm.uuid);
    move->vm = NULL;
    if (!vm)
        return;
    vm->status.move[0] = '\0';
    vm->ended = NULL;
    vm->told = NULL;
    vm_lease_release(vm); /* the config file may be written by others again */
}

static void say_incomplete(const struct storage_move *storage, struct err *err)
{
    const struct move *move = storage->move;
    (void)err_set(err, ERR_INTERNAL, "move-failed", "the disks of VM '%s' did not move, for no known reason",
                  move->spec.vm.name);
    (void)err_arg(err, "host", "%s", move->agent->config.name);
    (void)err_arg(err, "vm", "%s", move->spec.vm.name);
    (void)err_fix(err, "look into the log of the agent on '%s'; then migrate again",
                  move->agent->config.name);
}

static void over(const struct storage_outcome *outcome, void *user)
{
    struct storage_move *storage = user;
    struct move *move = storage->move;
    struct vm *vm = vm_of(storage);
    struct err none = {0}, why = {0};
    bool is_done = outcome->n_disks && outcome->n_moved == outcome->n_disks;
    vm_done adopted = storage->adopted;
    void *adopted_user = storage->adopted_user;
    if (storage->stop_ns && outcome->runs_ns)
        move->status.downtime_ns = outcome->runs_ns - storage->stop_ns;
    move_note(move, is_done ? "disks moved" : "failed", "%u of %u are on the new datastore", outcome->n_moved,
              outcome->n_disks);
    if (err_is_set(&outcome->err))
        move_say_image_left(move, &outcome->err);
    if (is_done)
        err_clear(&move->status.error);
    else if (!err_is_set(&move->status.error))
        say_incomplete(storage, &why);
    if (err_is_set(&why))
        move_set_error(move, &why);
    let_go(move);
    set_timer(storage, 0, NULL);
    move->storage = NULL;
    move->is_settled = true;
    g_free(storage);
    if (move->preparers)
        move_prepared(move, &move->status.error);
    move_set_state(move, is_done ? MOVE_DONE : MOVE_FAILED);
    move_unref(move);
    if (adopted)
        adopted(vm, &none, adopted_user);
}

static void settle(struct storage_move *storage)
{
    struct move *move = storage->move;
    bool continues = storage->copy && storage_copy_has_stopped(storage->copy);
    set_timer(storage, 0, NULL);
    storage_copy_free(g_steal_pointer(&storage->copy));
    storage->stage = STAGE_SETTLING;
    storage_settle(move->agent, move->spec.vm.uuid, &storage->here, continues, over, storage);
}

/* What cannot be broken off at once comes to its end first, and settles then. */
static void fail(struct storage_move *storage, const struct err *why)
{
    if (storage->is_failed || storage->stage == STAGE_SETTLING)
        return;
    storage->is_failed = true;
    move_set_error(storage->move, why);
    if (storage->convert)
        storage_convert_stop(storage->convert);
    else if (storage->stage != STAGE_MAKING)
        settle(storage);
}

int storage_cancel(struct move *move, const struct err *why, struct err *err)
{
    struct storage_move *storage = move->storage;
    if (storage->stage == STAGE_SETTLING || storage->stop_ns) {
        (void)err_set(err, ERR_REFUSED, "too-late-to-cancel", "the disks of VM '%s' are going over just now",
                      move->spec.vm.name);
        (void)err_arg(err, "vm", "%s", move->spec.vm.name);
        return err_fix(err, "wait until the migration is over, and move them back with another one");
    }
    fail(storage, why);
    return 0;
}

static void qemu_ended(struct vm *vm, void *user)
{
    struct storage_move *storage = user;
    struct err err;
    vm_died(vm, false, &err);
    fail(storage, &err);
}

/* ---- prepare ---- */

static gboolean start_is_late(gpointer user)
{
    struct storage_move *storage = user;
    const struct agent *agent = storage->move->agent;
    struct err err;
    storage->timer = 0;
    (void)err_set(&err, ERR_TIMEOUT, "lease-expired",
                  "host '%s' waited %u s in vain for the manager to start the copy of VM '%s'",
                  agent->config.name, agent->config.lease_s, storage->move->spec.vm.name);
    (void)err_arg(&err, "host", "%s", agent->config.name);
    (void)err_arg(&err, "vm", "%s", storage->move->spec.vm.name);
    (void)err_arg(&err, "waited_s", "%u", agent->config.lease_s);
    (void)err_arg(&err, "awaited", "start");
    (void)err_fix(&err, "see that the manager runs and reaches the host, and start the migration again");
    fail(storage, &err);
    return G_SOURCE_REMOVE;
}

static void images_made(const struct err *err, void *user)
{
    struct storage_move *storage = user;
    struct move *move = storage->move;
    bool has_record = disk_images_find_here(move->agent, move->spec.vm.uuid, &storage->here) &&
                      !strcmp(storage->here.session, move->spec.id);
    if (!has_record) {
        storage->here = (struct disk_images_here){0};
        (void)g_strlcpy(storage->here.session, move->spec.id, sizeof storage->here.session);
    }
    if (err_is_set(err))
        move_set_error(move, err);
    if (err_is_set(err) || storage->is_failed || !has_record) {
        storage->is_failed = true;
        settle(storage);
        return;
    }
    storage->stage = STAGE_MADE;
    move_note(move, "images made", NULL);
    set_timer(storage, move->agent->config.lease_s * MS_PER_S, start_is_late);
    move_prepared(move, NULL);
}

/* Held for this move until it is over. */
static struct storage_move *storage_new(struct vm *vm, const struct move_spec *spec)
{
    struct storage_move *storage = g_new0(struct storage_move, 1);
    struct move *move = move_new(vm->agent, spec, true);
    move->is_here = true;
    move->storage = storage;
    move->vm = vm;
    storage->move = move_ref(move);
    (void)g_strlcpy(vm->status.move, spec->id, sizeof vm->status.move);
    vm->ended = qemu_ended;
    vm->ended_user = storage;
    move->status.n_disks = spec->n_disks;
    for (uint32_t i = 0; i < spec->n_disks; i++) {
        struct move_disk_copy *shown = &move->status.disks[i];
        vm_disk_label(&vm->status.spec.disks[spec->disks[i].disk], shown->label);
        shown->bytes_total = spec->disks[i].size_bytes;
    }
    return storage;
}

void storage_prepare(struct agent *agent, const struct move_spec *spec, move_done done, void *user)
{
    struct err err = {0};
    struct vm *vm = vm_find(agent, spec->vm.uuid);
    g_autofree struct move_spec *meant = g_new(struct move_spec, 1);
    if (moves_check(agent, spec, true, &err) < 0 || moves_check(agent, spec, false, &err) < 0 ||
        take_places(vm, spec, meant, &err) < 0 || measure(vm, meant, &err) < 0) {
        err_place(&err, move_phase_name(PHASE_SOURCE_CHECK), "source");
        done(agent, NULL, &err, user);
        return;
    }
    struct storage_move *storage = storage_new(vm, meant);
    struct move *move = storage->move;
    move_log(move);
    move_note(move, "vm held", NULL);
    move_add_preparer(move, done, user);
    disk_images_make(agent, meant, images_made, storage);
}

/* ---- start ---- */

static void advanced(void *user)
{
    struct storage_move *storage = user;
    struct move *move = storage->move;
    if (storage->copy)
        storage_copy_report(storage->copy, &move->status);
    if (storage->convert)
        storage_convert_report(storage->convert, &move->status);
    move_changed(move);
}

static gboolean switch_is_late(gpointer user)
{
    struct storage_move *storage = user;
    const struct move *move = storage->move;
    struct err err;
    storage->timer = 0;
    (void)err_set(&err, ERR_TIMEOUT, "switchover-limit",
                  "the disks of VM '%s' did not go over to their new images within %u s", move->spec.vm.name,
                  move->spec.options.switchover_limit_s);
    (void)err_arg(&err, "vm", "%s", move->spec.vm.name);
    (void)err_arg(&err, "host", "%s", move->agent->config.name);
    (void)err_arg(&err, "limit_s", "%u", move->spec.options.switchover_limit_s);
    (void)err_fix(&err, "look at both datastores, or raise the switch-over limit");
    fail(storage, &err);
    return G_SOURCE_REMOVE;
}

static void switches(void *user)
{
    struct storage_move *storage = user;
    struct move *move = storage->move;
    storage->stop_ns = clock_now_ns();
    move->status.switch_start_ms = clock_wall_ms();
    move_note(move, "disks equal", NULL);
    move_set_state(move, MOVE_SWITCHING);
    set_timer(storage, MAX(move->spec.options.switchover_limit_s, 1u) * MS_PER_S, switch_is_late);
}

static gboolean reason_is_overdue(gpointer user)
{
    struct storage_move *storage = user;
    storage->timer = 0;
    fail(storage, &storage->copy_error);
    return G_SOURCE_REMOVE;
}

static void copied(const struct err *err, void *user)
{
    struct storage_move *storage = user;
    storage->copy_error = *err;
    if (err_is_set(err))
        set_timer(storage, REASON_MS, reason_is_overdue);
    else
        settle(storage);
}

static void converted(const struct err *err, void *user)
{
    struct storage_move *storage = user;
    struct move *move = storage->move;
    struct vm *vm = vm_of(storage);
    struct err problem = *err;
    storage->convert = NULL;
    if (!storage->is_failed && !err_is_set(&problem) && vm)
        (void)vm_config_write(vm, &move->spec.vm, move->spec.id, &problem);
    if (!storage->is_failed && err_is_set(&problem))
        move_set_error(move, &problem);
    settle(storage);
}

static void begin_copy(struct storage_move *storage, struct vm *vm)
{
    struct move *move = storage->move;
    const struct storage_copy_config config = {.vm = vm,
                                               .here = &storage->here,
                                               .disks = move->spec.disks,
                                               .bytes_s = move->spec.options.bandwidth_mb_s * MB,
                                               .max_downtime_ms = move->spec.options.max_downtime_ms,
                                               .advanced = advanced,
                                               .switches = switches,
                                               .ended = copied,
                                               .user = storage};
    storage->copy = storage_copy_new(&config);
    storage_copy_begin(storage->copy);
}

static void begin_convert(struct storage_move *storage, struct vm *vm)
{
    struct move *move = storage->move;
    const struct storage_convert_config config = {.agent = move->agent,
                                                  .vm = &vm->status.spec,
                                                  .here = &storage->here,
                                                  .disks = move->spec.disks,
                                                  .bytes_s = move->spec.options.bandwidth_mb_s * MB,
                                                  .advanced = advanced,
                                                  .ended = converted,
                                                  .user = storage};
    storage->convert = storage_convert_new(&config);
    storage_convert_begin(storage->convert);
}

static int check_start(const struct move *move, struct err *err)
{
    const struct storage_move *storage = move->storage;
    if (storage && !storage->is_failed && (storage->stage == STAGE_MADE || storage->stage == STAGE_COPYING))
        return 0;
    if (err_is_set(&move->status.error)) {
        *err = move->status.error;
        return -1;
    }
    (void)err_set(err, ERR_REFUSED, storage ? "move-not-prepared" : "move-is-over",
                  storage ? "move %s is not prepared" : "move %s is already over", move->status.id);
    return err_arg(err, "task", "%s", move->status.id);
}

void storage_start(struct move *move, move_done done, void *user)
{
    struct storage_move *storage = move->storage;
    struct err err = {0};
    struct move_answer answer = {.spec = move->spec};
    if (check_start(move, &err) < 0) {
        err_place(&err, move_phase_name(PHASE_COPY), "source");
        done(move->agent, NULL, &err, user);
        return;
    }
    if (storage->stage == STAGE_MADE) {
        struct vm *vm = vm_of(storage);
        storage->stage = STAGE_COPYING;
        set_timer(storage, 0, NULL);
        move->status.copy_start_ms = clock_wall_ms();
        move_set_state(move, MOVE_COPYING);
        if (is_hot(vm))
            begin_copy(storage, vm);
        else
            begin_convert(storage, vm);
    }
    done(move->agent, &answer, &err, user);
}

/* ---- an agent that was killed ---- */

static struct storage_move *take_up(struct vm *vm, const struct disk_images_here *here)
{
    struct move_spec spec = {.vm = vm->status.spec};
    struct err why;
    (void)g_strlcpy(spec.id, here->session, sizeof spec.id);
    (void)g_strlcpy(spec.source, vm->agent->config.name, sizeof spec.source);
    (void)g_strlcpy(spec.destination, vm->agent->config.name, sizeof spec.destination);
    struct storage_move *storage = storage_new(vm, &spec);
    struct move *move = storage->move;
    storage->here = *here;
    storage->stage = STAGE_SETTLING;
    move->is_prepared = move->is_recovered = true;
    move_log(move);
    (void)err_set(&why, ERR_PEER_LOST, "agent-restarted",
                  "the agent of host %s was restarted during the move", vm->agent->config.name);
    (void)err_arg(&why, "host", "%s", vm->agent->config.name);
    (void)err_arg(&why, "vm", "%s", vm->status.spec.name);
    (void)err_fix(&why, "start the migration again");
    move_set_error(move, &why);
    move_note(move, "agent restarted", NULL);
    log_info("VM %s: a move of its disks was under way: settling", vm->status.spec.name);
    return storage;
}

bool storage_adopt(struct vm *vm, bool is_stopped, vm_done done, void *user)
{
    g_autofree struct disk_images_here *here = g_new(struct disk_images_here, 1);
    if (!disk_images_find_here(vm->agent, vm->status.spec.uuid, here) || moves_find(vm->agent, here->session))
        return false;
    struct storage_move *storage = take_up(vm, here);
    storage->adopted = done;
    storage->adopted_user = user;
    storage_settle(vm->agent, vm->status.spec.uuid, here, is_stopped, over, storage);
    return true;
}

void storage_recover(struct agent *agent)
{
    g_autoptr(GList) vms = g_hash_table_get_values(agent->vms);
    for (GList *at = vms; at; at = at->next) {
        struct vm *vm = at->data;
        if (!vm->process && !err_is_set(&vm->problem))
            (void)storage_adopt(vm, false, NULL, NULL);
    }
}
