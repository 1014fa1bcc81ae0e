/* SPDX-License-Identifier: Apache-2.0 */
/* The source's side: prepare (the epoch is burned), start (the job gets the guest's memory), and the job's
 * requests in their one order: stop, save, give, quit. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent/disk_flush.h"
#include "agent/disk_images.h"
#include "agent/disk_mirror.h"
#include "agent/disks.h"
#include "agent/forecast.h"
#include "agent/move.h"
#include "agent/storage_move.h"
#include "agent/switch_cost.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fdio.h"
#include "model/check_table.h"

static void source_job_request(enum ctl_type type, const uint8_t *body, void *user);

static void name(struct err *err, const struct agent *agent, const char *vm)
{
    (void)err_arg(err, "host", "%s", agent->config.name);
    (void)err_arg(err, "vm", "%s", vm);
}

int source_check_here(const struct agent *agent, const struct move_spec *spec, const struct vm *vm,
                      struct err *err)
{
    if (spec->source[0] && strcmp(spec->source, agent->config.name) != 0) {
        (void)err_set(err, ERR_BAD_REQUEST, "wrong-host", "source is \"%s\", but this host is \"%s\"",
                      spec->source, agent->config.name);
        (void)err_arg(err, "source", "%s", spec->source);
        return err_arg(err, "host", "%s", agent->config.name);
    }
    if (vm)
        return 0;
    (void)err_set(err, ERR_NOT_FOUND, "vm-not-found", "host %s has no VM %s", agent->config.name,
                  spec->vm.name);
    (void)err_arg(err, "name", "%s", spec->vm.name);
    name(err, agent, spec->vm.name);
    return err_fix(err, "see with 'godwit vm ls' which host has it, and ask again");
}

int source_check_free(struct agent *agent, const struct move_spec *spec, struct vm *vm, struct err *err)
{
    if (strcmp(vm->status.move, spec->id) != 0 && vm_check_free(vm, err) < 0)
        return -1;
    return forecast_check_free(agent, spec->vm.uuid, err);
}

static int check_runs(const struct agent *agent, const struct vm *vm, struct err *err)
{
    const struct vm_status *status = &vm->status;
    if (status->state == VM_RUNNING && !vm->ending)
        return 0;
    const struct check_arg *args = CHECK_ARGS(
        {"host", agent->config.name}, {"vm", status->spec.name},
        {"state", vm->ending ? "being stopped" : vm_state_name(status->state)}, {"problem", status->problem});
    return check_say(err, status->state == VM_OFF ? CHECK_VM_OFF : check_why_not_running(status->problem),
                     args);
}

static int check_dirty_source(const struct agent *agent, const struct vm *vm, struct err *err)
{
    if (strcmp(agent->facts.dirty_source, "none") != 0)
        return 0;
    return check_say(err, CHECK_DIRTY_SOURCE_NONE,
                     CHECK_ARGS({"host", agent->config.name}, {"vm", vm->status.spec.name},
                                {"detail", agent->facts.dirty_detail}));
}

void source_find_problems(struct agent *agent, const struct move_spec *spec, struct findings *findings)
{
    struct vm *vm = vm_find(agent, spec->vm.uuid);
    struct err err = {0};
    int here = source_check_here(agent, spec, vm, &err);
    findings_note(findings, here, &err);
    if (here < 0)
        return;
    findings_note(findings, source_check_free(agent, spec, vm, &err), &err);
    findings_note(findings, vm_check_owned(vm, &err), &err);
    findings_note(findings, check_runs(agent, vm, &err), &err);
    findings_note(findings, check_dirty_source(agent, vm, &err), &err);
    disks_find_store_problems(agent, &vm->status.spec, findings);
}

/* ---- prepare ---- */

static void watch_lease(struct move *move);

static gboolean lease_may_be_over(gpointer user)
{
    struct move *move = user;
    struct err err;
    move->lease_timer = 0;
    if (!move->vm || move->is_settled)
        return G_SOURCE_REMOVE;
    if (vm_lease_is_live(move->vm)) {
        watch_lease(move);
        return G_SOURCE_REMOVE;
    }
    bool copied = move->job != NULL;
    (void)err_set(&err, ERR_TIMEOUT, "lease-expired",
                  move->is_stopped ? "host '%s' waited %u s in vain for the switch-over of VM '%s' to advance"
                  : copied         ? "host '%s' waited %u s in vain for the copy of VM '%s' to advance"
                           : "host '%s' waited %u s in vain for the manager to start the copy of VM '%s'",
                  move->agent->config.name, move->agent->config.lease_s, move->vm->status.spec.name);
    name(&err, move->agent, move->vm->status.spec.name);
    (void)err_arg(&err, "waited_s", "%u", move->agent->config.lease_s);
    (void)err_arg(&err, "awaited", "%s", move->is_stopped ? "switch-over" : copied ? "copy" : "start");
    (void)err_fix(&err,
                  copied ? "look at the migration network and at the destination's host, and migrate again"
                         : "see that the manager runs and reaches both hosts, and start the migration again");
    /* After GIVEN the rules make nothing of it. */
    handover_doubt(move, &err);
    return G_SOURCE_REMOVE;
}

static void watch_lease(struct move *move)
{
    move->lease_timer = g_timeout_add((guint)vm_lease_left_ms(move->vm), lease_may_be_over, move);
}

void source_progress(struct move *move)
{
    const struct move_status *status = &move->status;
    if (!status->is_source || !move->vm || move->is_settled ||
        (status->bytes_on_wire <= move->lease_bytes && status->n_rounds <= move->lease_rounds))
        return;
    move->lease_bytes = status->bytes_on_wire;
    move->lease_rounds = status->n_rounds;
    vm_lease_renew(move->vm);
}

/* The last step of prepare; with the reference. */
static void prepared(struct move *move, const struct err *err)
{
    if (err_is_set(err)) {
        move_prepared(move, err);
        handover_doubt(move, err);
    } else {
        watch_lease(move);
        move_note(move, "vm held", "epoch %llu", (unsigned long long)move->entry.epoch);
        move_prepared(move, NULL);
    }
    handover_open(move);
    move_unref(move);
}

static void disks_measured(struct vm *vm, const struct err *err, void *user)
{
    struct move *move = user;
    struct err problem = *err;
    if (!err_is_set(&problem))
        (void)disk_images_leave(move->agent, &vm->status.spec, &move->spec, &problem);
    if (err_is_set(&problem))
        err_place(&problem, move_phase_name(PHASE_SOURCE_CHECK), "source");
    prepared(move, &problem);
}

static void sending(const struct err *err, void *user)
{
    struct move *move = user;
    struct err problem = *err;
    /* Meanwhile it may have ended; then there is nothing to tell of it. */
    if (!err_is_set(err) && move->vm->pidfd < 0) {
        (void)err_set(&problem, ERR_PEER_LOST, "qemu-died", "QEMU of VM %s ended when the move began",
                      move->vm->status.spec.name);
        (void)err_fix(&problem, "look into its log on host '%s', then start the VM again",
                      move->agent->config.name);
        (void)err_arg(&problem, "host", "%s", move->agent->config.name);
        err_place(&problem, move_phase_name(PHASE_SOURCE_CHECK), "source");
    }
    if (!err_is_set(&problem)) {
        move->spec.epoch = move->entry.epoch;
        move->spec.vm = move->vm->status.spec;
        g_strlcpy(move->spec.accel, move->vm->status.accel, sizeof move->spec.accel);
        handover_hash(move->entry.commit, move->spec.commit_hash);
        if (move->spec.n_disks) {
            disk_mirror_measure(move->vm, move->spec.disks, move->spec.n_disks, disks_measured, move);
            return; /* with the reference */
        }
    }
    prepared(move, &problem);
}

/* A manager with an old database must not repeat a move: the task may be over, and the VM have moved since.
 */
static int check_epoch(const struct move_spec *spec, const struct journal_entry *entry, struct err *err)
{
    if (!spec->epoch || spec->epoch == entry->epoch)
        return 0;
    (void)err_set(err, ERR_REFUSED, "vm-has-moved", "VM %s has been moved since the task was made",
                  spec->vm.name);
    (void)err_arg(err, "name", "%s", spec->vm.name);
    (void)err_cause(err, "its epoch is %llu, and was %llu", (unsigned long long)entry->epoch,
                    (unsigned long long)spec->epoch);
    return err_fix(err, "look where the VM is, and ask for the migration again");
}

void moves_prepare_source(struct agent *agent, const struct move_spec *spec, move_done done, void *user)
{
    struct err err = {0};
    struct journal *journal = NULL;
    struct move *move = moves_find(agent, spec->id);
    if (move) {
        move_prepare_again(move, true, done, user);
        return;
    }
    if (move_is_here(spec)) {
        storage_prepare(agent, spec, done, user);
        return;
    }
    if (moves_check(agent, spec, true, &err) < 0 ||
        move_open_journal(agent, spec->vm.uuid, false, &journal, &err) < 0) {
        err_place(&err, move_phase_name(PHASE_SOURCE_CHECK), "source");
        done(agent, NULL, &err, user);
        return;
    }
    struct journal_entry old;
    struct journal_entry entry;
    journal_read(journal, &old);
    struct vm *vm = vm_find(agent, spec->vm.uuid);
    if (check_epoch(spec, &old, &err) < 0 || move_check_session(&old, spec->id, &err) < 0 ||
        vm_lease_take(vm, spec->id, old.epoch + 1, &err) < 0) {
        journal_close(journal);
        err_place(&err, move_phase_name(PHASE_SOURCE_CHECK), "source");
        done(agent, NULL, &err, user);
        return;
    }
    handover_new_entry(&old, JOURNAL_SENDING, spec->id, old.epoch + 1, &entry);
    fdio_random(entry.commit, sizeof entry.commit);
    move = move_new(agent, spec, true);
    move_log(move);
    move->journal = journal;
    move->entry = entry;
    move_take_vm(move, vm);
    move_add_preparer(move, done, user);
    handover_begin(move, &entry, sending);
}

/* ---- start ---- */

static void take_spec(struct move *move, const struct move_spec *spec)
{
    struct move_spec taken = *spec;
    taken.vm = move->spec.vm; /* what this side has said stays */
    taken.epoch = move->spec.epoch;
    memcpy(taken.accel, move->spec.accel, sizeof taken.accel);
    memcpy(taken.commit_hash, move->spec.commit_hash, sizeof taken.commit_hash);
    move->spec = taken;
    memcpy(move->entry.ready, spec->ready_hash, MOVE_SECRET_SIZE);
    memcpy(move->entry.running, spec->running_hash, MOVE_SECRET_SIZE);
    memcpy(move->entry.aborted, spec->aborted_hash, MOVE_SECRET_SIZE);
    memcpy(move->entry.returned, spec->returned_hash, MOVE_SECRET_SIZE);
}

static int start_job(struct move *move, struct err *err)
{
    static const struct job_handlers handlers = {source_job_request, move_job_progress, move_job_round,
                                                 move_job_result, move_job_ended};
    struct vm_trace trace;
    struct ctl_job_spec spec;
    if (vm_open_trace(move->vm, &trace, err) < 0)
        return -1;
    int fds[CTL_SOURCE_FDS] = {[CTL_FD_RAM] = trace.ram_fd,
                               [CTL_FD_UFFD_ASYNC] = trace.uffd_async,
                               [CTL_FD_UFFD_SYNC] = trace.uffd_sync,
                               [CTL_FD_PAGEMAP] = trace.pagemap_fd,
                               [CTL_FD_QEMU_PID] = trace.pidfd};
    moves_fill_job_spec(&move->spec, move->status.is_source, move->status.ram_bytes, &spec);
    moves_fill_job_trace(move->vm, &trace, &spec);
    spec.n_disks = move->spec.n_disks;
    spec.fixed_downtime_ns = switch_cost_expect(move->agent, &move->spec).besides_ns;
    move->status.n_vcpus = trace.n_vcpus;
    int result = job_control_start(&move->agent->config, &spec, fds, &handlers, move, &move->job, err);
    explicit_bzero(&spec, sizeof spec);
    for (unsigned i = 0; i < CTL_SOURCE_FDS; i++)
        (void)close(fds[i]);
    if (result < 0)
        return -1;
    move_note(move, "job started", NULL);
    move->disk_flush = disk_flush_new(move->agent, &move->vm->status.spec);
    disk_flush_begin(move->disk_flush);
    int stream = move_new_stream(move, err);
    if (stream < 0)
        return -1;
    vm_pass_stream(move->vm, stream);
    (void)close(stream);
    return 0;
}

static int check_start(const struct move *move, const struct move_spec *spec, struct err *err)
{
    if (!move || !move->status.is_source) {
        (void)err_set(err, ERR_NOT_FOUND, "move-not-found", "there is no move %s on this source", spec->id);
        return err_arg(err, "task", "%s", spec->id);
    }
    if (!move->is_prepared) {
        (void)err_set(err, ERR_REFUSED, "move-not-prepared", "move %s is not prepared", spec->id);
        return err_arg(err, "task", "%s", spec->id);
    }
    if (move->is_settled || move->entry.step != JOURNAL_SENDING || !move->vm || move->vm->pidfd < 0) {
        if (err_is_set(&move->status.error)) {
            *err = move->status.error;
            return -1;
        }
        (void)err_set(err, ERR_REFUSED, "move-is-over", "move %s is already over", spec->id);
        return err_arg(err, "task", "%s", spec->id);
    }
    if (strcmp(spec->vm.uuid, move->spec.vm.uuid) != 0 || spec->epoch != move->spec.epoch) {
        (void)err_set(err, ERR_BAD_REQUEST, "move-spec-differs",
                      "vm and epoch must be those that were prepared: VM %s, epoch %llu", move->spec.vm.uuid,
                      (unsigned long long)move->spec.epoch);
        (void)err_arg(err, "vm", "%s", move->spec.vm.uuid);
        return err_arg(err, "epoch", "%llu", (unsigned long long)move->spec.epoch);
    }
    if (!spec->n_addresses || !spec->port)
        return err_set(err, ERR_BAD_REQUEST, "migration-addresses",
                       "addresses and port of the destination's migration network are missing");
    return 0;
}

void moves_start_source(struct agent *agent, const struct move_spec *spec, move_done done, void *user)
{
    struct err err = {0};
    struct move *move = moves_find(agent, spec->id);
    if (move && move->is_here) {
        storage_start(move, done, user);
        return;
    }
    if (check_start(move, spec, &err) < 0) {
        err_place(&err, move_phase_name(PHASE_COPY), "source");
        done(agent, NULL, &err, user);
        return;
    }
    if (!move->job) {
        take_spec(move, spec);
        if (start_job(move, &err) < 0) {
            err_place(&err, move_phase_name(PHASE_COPY), "source");
            handover_doubt(move, &err);
            done(agent, NULL, &err, user);
            return;
        }
        vm_lease_renew(move->vm);
    }
    struct move_answer answer = {.spec = move->spec, .ram_bytes = move->status.ram_bytes};
    done(agent, &answer, &err, user);
}

/* ---- the job's requests ---- */

static gboolean limit_is_over(gpointer user)
{
    struct move *move = user;
    struct err err;
    move->limit_timer = 0;
    (void)err_set(&err, ERR_TIMEOUT, "switchover-limit",
                  "host '%s' waited in vain for host '%s' to take VM '%s' over within %u s",
                  move->agent->config.name, move->spec.destination, move->spec.vm.name,
                  move->spec.options.switchover_limit_s);
    (void)err_arg(&err, "host", "%s", move->agent->config.name);
    (void)err_arg(&err, "destination", "%s", move->spec.destination);
    (void)err_fix(&err, "look at the migration network, or raise the switch-over limit");
    (void)err_arg(&err, "vm", "%s", move->spec.vm.name);
    (void)err_arg(&err, "limit_s", "%u", move->spec.options.switchover_limit_s);
    handover_doubt(move, &err);
    return G_SOURCE_REMOVE;
}

static void saved(struct vm *vm, const struct err *err, void *user)
{
    struct move *move = user;
    (void)vm;
    if (err_is_set(err)) {
        move_job_failed(move, err);
    } else {
        move->is_saved = true;
        move_note(move, "device state saved", NULL);
        if (move->is_stream_open)
            job_control_answer(move->job, NULL, 0, -1, false);
    }
    move_unref(move);
}

static void save(struct move *move)
{
    if (move->vm)
        vm_save(move->vm, saved, move_ref(move));
}

/* What the guest wrote must be on the other host's disks before its devices are saved: then QEMU lets go of
 * the images here. */
static void stopped(struct vm *vm, const struct err *err, void *user)
{
    struct move *move = user;
    (void)vm;
    if (err_is_set(err)) {
        move_job_failed(move, err);
    } else {
        move_note(move, "guest stopped", NULL);
        job_control_answer(move->job, NULL, 0, -1, false);
        /* QEMU stops only when the other side has answered: the guest may be taken back by then. */
        if (move->spec.n_disks && move->entry.step == JOURNAL_SENDING)
            move_finish_disks(move, save);
    }
    move_unref(move);
}

static void stop_guest(struct move *move)
{
    if (move->is_stopped) {
        move_refuse_job(move, ERR_CORRUPT, "job-out-of-order", "the job asked to stop the guest twice");
        return;
    }
    if (move->spec.n_disks && !move->has_disks) {
        move_refuse_job(move, ERR_CORRUPT, "job-out-of-order",
                        "the job asked to stop the guest before its disks were equal on both sides");
        return;
    }
    move->is_stopped = true;
    move->status.switch_start_ms = clock_wall_ms();
    move_set_state(move, MOVE_SWITCHING);
    move_take_precedence(move);
    move->limit_timer =
        g_timeout_add_seconds(MAX(move->spec.options.switchover_limit_s, 1u), limit_is_over, move);
    /* QEMU saves as soon as the guest stands, while the job sends what is left of its memory. */
    vm_pause(move->vm, stopped, move_ref(move));
    if (!move->spec.n_disks)
        save(move);
}

static void save_guest(struct move *move)
{
    if (!move->is_stopped || move->is_stream_open) {
        move_refuse_job(move, ERR_CORRUPT, "job-out-of-order",
                        "the job asked for the device state out of order");
        return;
    }
    move_hand_stream(move);
    move_close_stream(move);
    if (move->is_saved)
        job_control_answer(move->job, NULL, 0, -1, false);
}

static void settled(struct move *move, const struct handover_answer *answer, const struct err *err,
                    void *user)
{
    (void)answer;
    (void)user;
    if (err_is_set(err))
        move_job_failed(move, err);
    else
        job_control_answer(move->job, NULL, 0, -1, false);
}

static void take_verdict(struct move *move, const uint8_t *body)
{
    static const enum handover_event events[] = {[VERDICT_RUNNING] = HANDOVER_RUNNING,
                                                 [VERDICT_ABORTED] = HANDOVER_ABORTED,
                                                 [VERDICT_RETURNED] = HANDOVER_RETURNED};
    struct ctl_verdict verdict;
    memcpy(&verdict, body, sizeof verdict);
    if (verdict.kind < VERDICT_RUNNING || verdict.kind > VERDICT_RETURNED)
        move_refuse_job(move, ERR_CORRUPT, "verdict-unknown",
                        "the job brought a verdict that does not exist");
    else {
        move_note(move, "verdict received", "%s", move_verdict_name((enum move_verdict)verdict.kind));
        handover_submit(move, events[verdict.kind], verdict.secret, NULL, settled, NULL);
    }
}

static void source_job_request(enum ctl_type type, const uint8_t *body, void *user)
{
    struct move *move = user;
    enum journal_step step = move->entry.step;
    if (type == CTL_QUIT) {
        take_verdict(move, body);
        return;
    }
    if (move->is_settled || step != JOURNAL_SENDING || !move->vm) {
        move_refuse_job(move, ERR_REFUSED, "move-is-over", "the attempt is over");
        return;
    }
    vm_lease_renew(move->vm); /* the next step of the switch-over was reached */
    if (type == CTL_STOP)
        stop_guest(move);
    else if (type == CTL_SAVE)
        save_guest(move);
    else if (type == CTL_DISK)
        move_give_disk(move, body);
    else if (type == CTL_DISKS)
        move_await_disks(move);
    else {
        move_note(move, "READY received", NULL);
        handover_submit(move, HANDOVER_GIVE, body, NULL, move_pass_secret, NULL);
    }
}
