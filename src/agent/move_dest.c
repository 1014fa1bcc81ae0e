/* SPDX-License-Identifier: Apache-2.0 */
/* The destination's side: prepare (journal, shell, door, job), and the job's requests in their one order:
 * load, ready, cont. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent/disk_export.h"
#include "agent/disk_images.h"
#include "agent/disks.h"
#include "agent/door.h"
#include "agent/move.h"
#include "agent/premap.h"
#include "agent/vm_process.h"
#include "base/cleanup.h"
#include "base/fdio.h"
#include "base/log.h"
#include "model/check_table.h"
#include "model/vm_disks.h"

static void destination_job_request(enum ctl_type type, const uint8_t *body, void *user);

/* From its first journal entry to its last a move is the only one that may write the VM's journal, also while
 * there is no shell. */
static int check_moves(struct agent *agent, const struct move_spec *spec, struct err *err)
{
    GHashTableIter iter;
    gpointer value;
    if (!agent->moves)
        return 0;
    g_hash_table_iter_init(&iter, agent->moves);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const struct move *move = value;
        if (!move->is_settled && !strcmp(move->spec.vm.uuid, spec->vm.uuid))
            return vm_refuse_held(agent, spec->vm.name, move->status.id, err);
    }
    return 0;
}

static int refuse_by_journal(const struct agent *agent, const struct move_spec *spec,
                             const struct journal_entry *entry, struct err *err)
{
    return check_say(err, CHECK_VM_OWNED_HERE,
                     CHECK_ARGS({"host", agent->config.name}, {"vm", spec->vm.name},
                                {"step", journal_step_name(entry->step)}));
}

/* A VM that this host owns, or may own, never comes in. */
static int check_journal(struct agent *agent, const struct move_spec *spec, struct err *err)
{
    struct journal *journal;
    struct journal_entry entry;
    struct err problem = {0};
    if (move_open_journal(agent, spec->vm.uuid, false, &journal, &problem) < 0) {
        if (problem.code == ERR_NOT_FOUND)
            return 0;
        if (err)
            *err = problem;
        return -1;
    }
    journal_read(journal, &entry);
    bool may_run = journal_may_run(journal);
    journal_close(journal);
    if (may_run || entry.step == JOURNAL_GIVEN)
        return refuse_by_journal(agent, spec, &entry, err);
    if (spec->epoch && spec->epoch <= entry.epoch) {
        (void)err_set(err, ERR_REFUSED, "epoch-too-old", "epoch %llu of VM %s is over; the last was %llu",
                      (unsigned long long)spec->epoch, spec->vm.uuid, (unsigned long long)entry.epoch);
        (void)err_arg(err, "epoch", "%llu", (unsigned long long)spec->epoch);
        (void)err_arg(err, "vm", "%s", spec->vm.uuid);
        return err_arg(err, "last_epoch", "%llu", (unsigned long long)entry.epoch);
    }
    return move_check_session(&entry, spec->id, err);
}

static int check_name(const struct agent *agent, const struct move_spec *spec, struct err *err)
{
    if (!spec->destination[0] || !strcmp(spec->destination, agent->config.name))
        return 0;
    (void)err_set(err, ERR_BAD_REQUEST, "wrong-host", "destination is \"%s\", but this host is \"%s\"",
                  spec->destination, agent->config.name);
    (void)err_arg(err, "destination", "%s", spec->destination);
    return err_arg(err, "host", "%s", agent->config.name);
}

static int check_enabled(const struct agent *agent, struct err *err)
{
    if (agent->config.migration_enabled && agent->door)
        return 0;
    return check_say(err, CHECK_MIGRATION_DISABLED, CHECK_ARGS({"host", agent->config.name}));
}

/* This host has nothing of the VM, and no part in another move of it. */
static int check_absent(struct agent *agent, const struct move_spec *spec, struct err *err)
{
    struct vm *vm = vm_find(agent, spec->vm.uuid);
    if (vm && vm_check_free(vm, err) < 0)
        return -1;
    if (vm)
        return check_say(err, CHECK_VM_EXISTS,
                         CHECK_ARGS({"host", agent->config.name}, {"vm", spec->vm.name}));
    if (check_moves(agent, spec, err) < 0)
        return -1;
    return check_journal(agent, spec, err);
}

/* Disks that come with their content are not there yet; the datastore must be. */
static void find_vm_problems(struct agent *agent, const struct move_spec *spec, struct findings *findings)
{
    g_autofree struct vm_spec *vm = g_memdup2(&spec->vm, sizeof spec->vm);
    if (spec->n_disks)
        disks_find_store_problems(agent, vm, findings);
    for (uint32_t i = spec->n_disks; i > 0; i--)
        vm_disks_remove(vm, spec->disks[i - 1].disk);
    vm_find_problems(agent, vm, spec->accel, true, findings);
    disk_images_find_problems(agent, spec, findings);
}

void destination_find_problems(struct agent *agent, const struct move_spec *spec, struct findings *findings)
{
    struct err err = {0};
    int named = check_name(agent, spec, &err);
    findings_note(findings, named, &err);
    if (named < 0)
        return; /* a question for somebody else */
    findings_note(findings, check_enabled(agent, &err), &err);
    int absent = check_absent(agent, spec, &err);
    findings_note(findings, absent, &err);
    if (absent == 0)
        find_vm_problems(agent, spec, findings);
}

/* ---- prepare ---- */

/* A help only: without it the guest's first touches take longer. */
static void begin_premap(struct move *move)
{
    const struct vm *vm = move->vm;
    struct err err;
    struct premap_memory memory = {(pid_t)vm->status.pid, vm->ram_fd, 0, vm->ram_size};
    if (ram_find(vm, &memory.address, &err) == 0)
        move->premap = premap_begin(&memory, &err);
    if (!move->premap)
        log_error(&err, "the memory of VM %s is not mapped in advance", vm->status.spec.name);
}

static int start_job(struct move *move, struct err *err)
{
    static const struct job_handlers handlers = {destination_job_request, move_job_progress, move_job_round,
                                                 move_job_result, move_job_ended};
    struct ctl_job_spec spec;
    int socket;
    if (door_expect(move->agent->door, move->spec.ticket, &socket, err) < 0)
        return -1;
    auto_fd door_socket = socket;
    move_note(move, "ticket at the door", NULL);
    int fds[CTL_DESTINATION_FDS] = {[CTL_FD_RAM] = move->vm->ram_fd, [CTL_FD_DOOR] = door_socket};
    moves_fill_job_spec(&move->spec, move->status.is_source, move->status.ram_bytes, &spec);
    spec.n_disks = move->spec.n_disks;
    int result = job_control_start(&move->agent->config, &spec, fds, &handlers, move, &move->job, err);
    explicit_bzero(&spec, sizeof spec);
    if (result == 0) {
        move_note(move, "job started", NULL);
        begin_premap(move);
    }
    return result;
}

static void prepare_failed(struct move *move, const struct err *err)
{
    struct err why = *err;
    err_place(&why, move_phase_name(PHASE_DESTINATION_SHELL), "destination");
    move_prepared(move, &why);
    handover_doubt(move, &why);
}

/* The last step of prepare; with the reference. */
static void prepared(struct move *move, const struct err *err)
{
    struct err problem = *err;
    if (!err_is_set(&problem) && start_job(move, &problem) == 0)
        move_prepared(move, NULL);
    else
        prepare_failed(move, &problem);
    handover_open(move);
    move_unref(move);
}

static void disks_exported(struct vm *vm, const struct err *err, void *user)
{
    (void)vm;
    prepared(user, err);
}

static void shell_stands(struct vm *vm, const struct err *err, void *user)
{
    struct move *move = user;
    if (vm) {
        move_take_vm(move, vm);
        move->spec.port = move->agent->config.migration_port;
        if (!err_is_set(err))
            move_note(move, "shell started", "QEMU is process %d", vm->status.pid);
    } else {
        journal_close(move->journal); /* the one meant for the VM */
    }
    if (!err_is_set(err) && move->spec.n_disks)
        disk_export_begin(vm, move->spec.disks, move->spec.n_disks, disks_exported, move);
    else
        prepared(move, err);
}

static void make_shell(const struct err *err, void *user)
{
    struct move *move = user;
    struct journal *journal;
    struct err problem = *err;
    if (!err_is_set(&problem) &&
        move_open_journal(move->agent, move->spec.vm.uuid, false, &journal, &problem) == 0)
        vm_shell(move->agent, &move->spec.vm, move->spec.accel, journal, shell_stands, move);
    else
        prepared(move, &problem);
}

/* With the reference that journal_write was given. */
static void incoming(const struct err *err, void *user)
{
    struct move *move = user;
    if (!err_is_set(err) && move->spec.n_disks)
        disk_images_make(move->agent, &move->spec, make_shell, move);
    else
        make_shell(err, move);
}

static void draw(uint8_t secret[MOVE_SECRET_SIZE], uint8_t hash[MOVE_SECRET_SIZE])
{
    fdio_random(secret, MOVE_SECRET_SIZE);
    handover_hash(secret, hash);
}

void moves_prepare_destination(struct agent *agent, const struct move_spec *spec, move_done done, void *user)
{
    struct err err = {0};
    struct journal *journal = NULL;
    struct move *move = moves_find(agent, spec->id);
    if (move) {
        move_prepare_again(move, false, done, user);
        return;
    }
    if (!spec->epoch)
        (void)err_set(&err, ERR_BAD_REQUEST, "epoch-missing",
                      "epoch must be the one that the source has burned");
    if (err_is_set(&err) || moves_check(agent, spec, false, &err) < 0 ||
        move_open_journal(agent, spec->vm.uuid, true, &journal, &err) < 0) {
        err_place(&err, move_phase_name(PHASE_DESTINATION_SHELL), "destination");
        done(agent, NULL, &err, user);
        return;
    }
    struct journal_entry old;
    struct journal_entry entry;
    journal_read(journal, &old);
    handover_new_entry(&old, JOURNAL_INCOMING, spec->id, spec->epoch, &entry);
    entry.is_destination = true;
    memcpy(entry.commit, spec->commit_hash, sizeof entry.commit);
    move = move_new(agent, spec, false);
    move_log(move);
    move->journal = journal;
    draw(entry.ready, move->spec.ready_hash);
    draw(entry.running, move->spec.running_hash);
    draw(entry.aborted, move->spec.aborted_hash);
    draw(entry.returned, move->spec.returned_hash);
    fdio_random(move->spec.ticket, sizeof move->spec.ticket);
    move_add_preparer(move, done, user);
    handover_begin(move, &entry, incoming);
}

/* ---- the job's requests ---- */

static void ready_to_run(struct vm *vm, const struct err *err, void *user)
{
    struct move *move = user;
    (void)vm;
    if (err_is_set(err)) {
        move_job_failed(move, err);
    } else {
        move->is_loaded = true;
        move_note(move, "device state loaded", NULL);
        job_control_answer(move->job, NULL, 0, -1, false);
    }
    move_unref(move);
}

/* Before its guest may run, an image has no other writer. */
static void loaded(struct vm *vm, const struct err *err, void *user)
{
    struct move *move = user;
    if (!err_is_set(err))
        move_close_stream(move);
    if (!err_is_set(err) && move->spec.n_disks)
        disk_export_end(vm, ready_to_run, move);
    else
        ready_to_run(vm, err, move);
}

static void load_guest(struct move *move)
{
    if (move->is_stream_open) {
        move_refuse_job(move, ERR_CORRUPT, "job-out-of-order",
                        "the job asked to load the device state twice");
        return;
    }
    struct err err;
    auto_fd stream = move_new_stream(move, &err);
    if (stream < 0) {
        move_job_failed(move, &err);
        return;
    }
    /* QEMU takes the stream's end for a failed load, and ends: so the job's end is held here as well, and
     * QEMU ends when the attempt does. */
    move_hand_stream(move);
    vm_pass_stream(move->vm, stream);
    vm_load(move->vm, loaded, move_ref(move));
}

static void committed(struct move *move, const struct handover_answer *answer, const struct err *err,
                      void *user)
{
    (void)user;
    if (err_is_set(err)) {
        move_job_failed(move, err);
        return;
    }
    struct ctl_verdict verdict = {.kind = (uint32_t)answer->verdict};
    memcpy(verdict.secret, answer->secret, sizeof verdict.secret);
    job_control_answer(move->job, &verdict, sizeof verdict, -1, false);
}

static void destination_job_request(enum ctl_type type, const uint8_t *body, void *user)
{
    struct move *move = user;
    if (type == CTL_CONT) {
        move_note(move, "COMMIT received", NULL);
        handover_submit(move, HANDOVER_COMMIT, body, NULL, committed, NULL);
    } else if (move->is_settled || move->entry.step != JOURNAL_INCOMING || !move->vm)
        move_refuse_job(move, ERR_REFUSED, "move-is-over", "the attempt is over");
    else if (type == CTL_LOAD)
        load_guest(move);
    else if (type == CTL_DISK)
        move_give_disk(move, body);
    else
        handover_submit(move, HANDOVER_LOADED, NULL, NULL, move_pass_secret, NULL);
}
