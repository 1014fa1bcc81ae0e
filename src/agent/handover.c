/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation. An event (from the job, the manager, a deadline, a restart) waits in the move's queue.
 * One at a time it is decided by handover_rules.c; the plan's journal entry is made durable; then, and only
 * then, its act is carried out: a secret is released, `cont` is run, QEMU is ended. A destination's `cont`
 * yields one more event, which is decided before the queue goes on. So an event never sees half a step, and a
 * COMMIT that arrives while the first one runs `cont` simply gets the outcome.
 */
#include <glib.h>
#include <poll.h>
#include <string.h>

#include "agent/move.h"
#include "base/log.h"

#define CONT_DEADLINE_MS 30000u
#define RETRY_MS 1000u
#define REWRITE_MS 500u
#define RESUME_PAUSE_MS 100u
#define RESUME_TRIES 300u

struct call {
    struct move *move; /* a reference */
    enum handover_event event;
    bool has_secret;
    uint8_t secret[MOVE_SECRET_SIZE];
    struct err why;
    struct handover_plan plan;
    unsigned n_resumes; /* source: how often `cont` was asked for */
    handover_done done;
    void *user;
};

static void carry_out(struct call *call);
static void decide(struct call *call);

/* ---- secrets ---- */

void handover_hash(const uint8_t secret[MOVE_SECRET_SIZE], uint8_t ret_hash[MOVE_SECRET_SIZE])
{
    gsize size = MOVE_SECRET_SIZE;
    GChecksum *sum = g_checksum_new(G_CHECKSUM_SHA256);
    g_checksum_update(sum, secret, MOVE_SECRET_SIZE);
    g_checksum_get_digest(sum, ret_hash, &size);
    g_checksum_free(sum);
}

bool handover_fits(const uint8_t secret[MOVE_SECRET_SIZE], const uint8_t hash[MOVE_SECRET_SIZE])
{
    uint8_t sum[MOVE_SECRET_SIZE];
    handover_hash(secret, sum);
    return memcmp(sum, hash, sizeof sum) == 0; /* both are public: their timing tells nothing */
}

static const uint8_t *hash_for(const struct journal_entry *entry, enum handover_event event)
{
    switch (event) {
    case HANDOVER_GIVE:
        return entry->ready;
    case HANDOVER_COMMIT:
        return entry->commit;
    case HANDOVER_RUNNING:
        return entry->running;
    case HANDOVER_ABORTED:
        return entry->aborted;
    case HANDOVER_RETURNED:
        return entry->returned;
    default:
        return NULL;
    }
}

bool handover_verdict(const struct journal_entry *entry, const char *session,
                      struct handover_answer *ret_answer)
{
    struct journal_past last;
    const struct journal_past *const sessions[] = {&last, &entry->past};
    bool is_known = false;
    memset(ret_answer, 0, sizeof *ret_answer);
    journal_last_session(entry, &last);
    for (unsigned i = 0; i < G_N_ELEMENTS(sessions) && !is_known; i++) {
        is_known = sessions[i]->verdict != VERDICT_NONE && !strcmp(sessions[i]->session, session);
        if (is_known) {
            ret_answer->verdict = sessions[i]->verdict;
            memcpy(ret_answer->secret, sessions[i]->secret, MOVE_SECRET_SIZE);
        }
    }
    explicit_bzero(&last, sizeof last);
    return is_known;
}

void handover_new_entry(const struct journal_entry *old, enum journal_step step, const char *session,
                        uint64_t epoch, struct journal_entry *ret_entry)
{
    memset(ret_entry, 0, sizeof *ret_entry);
    ret_entry->step = step;
    ret_entry->epoch = epoch;
    g_strlcpy(ret_entry->session, session, sizeof ret_entry->session);
    journal_last_session(old, &ret_entry->past);
}

/* ---- the queue ---- */

static void run_next(struct move *move)
{
    struct call *call;
    if (move->is_busy || !(call = g_queue_pop_head(&move->events)))
        return;
    move->is_busy = true;
    decide(call);
}

void handover_submit(struct move *move, enum handover_event event, const uint8_t *secret,
                     const struct err *why, handover_done done, void *user)
{
    struct call *call = g_new0(struct call, 1);
    call->move = move_ref(move);
    call->event = event;
    call->has_secret = secret != NULL;
    if (secret)
        memcpy(call->secret, secret, sizeof call->secret);
    if (why)
        call->why = *why;
    call->done = done;
    call->user = user;
    g_queue_push_tail(&move->events, call);
    run_next(move);
}

void handover_doubt(struct move *move, const struct err *why)
{
    handover_submit(move, HANDOVER_DOUBT, NULL, why, NULL, NULL);
}

void handover_begin(struct move *move, const struct journal_entry *entry,
                    void (*done)(const struct err *err, void *user))
{
    move->is_busy = true;
    move->entry = *entry;
    journal_write(move->journal, entry, done, move_ref(move));
}

void handover_open(struct move *move)
{
    move->is_busy = false;
    run_next(move);
}

bool handover_is_too_late(const struct move *move)
{
    enum journal_step step = move->entry.step;
    return step == JOURNAL_GIVEN || step == JOURNAL_GONE || step == JOURNAL_OWNED;
}

/* A destination whose guest may still stand keeps the VM until `cont` has worked, QEMU is gone, or its
 * control connection is given up. */
static bool must_run_first(const struct move *move)
{
    const struct vm *vm = move->vm;
    return move->entry.step == JOURNAL_OWNED && move->is_recovered && move->is_stopped && vm &&
           vm->pidfd >= 0 && vm->status.state != VM_UNKNOWN;
}

static void settle_if_over(struct move *move)
{
    enum journal_step step = move->entry.step;
    if (move->is_settled || must_run_first(move))
        return;
    if (step == JOURNAL_GONE || step == JOURNAL_OWNED)
        move_settle(move, MOVE_DONE);
    else if (step == JOURNAL_RESUMED || step == JOURNAL_ABORTED || step == JOURNAL_RETURNED)
        move_settle(move, MOVE_FAILED);
}

/* The plan is carried out: answer, then the next event. */
static void finish(struct call *call, const struct handover_answer *answer, const struct err *err)
{
    struct move *move = call->move;
    struct handover_answer verdict;
    if (handover_verdict(&move->entry, move->entry.session, &verdict)) {
        move->status.verdict = verdict.verdict;
        memcpy(move->status.verdict_secret, verdict.secret, MOVE_SECRET_SIZE);
        move_changed(move);
    }
    /* First of all the answer: the guest may stand until it has arrived. */
    if (call->done)
        call->done(move, answer, err, call->user);
    settle_if_over(move);
    explicit_bzero(call->secret, sizeof call->secret);
    g_free(call);
    handover_open(move);
    move_unref(move);
}

static void finish_with_verdict(struct call *call)
{
    struct handover_answer answer;
    (void)handover_verdict(&call->move->entry, call->move->entry.session, &answer);
    finish(call, &answer, NULL);
}

static void refuse(struct call *call)
{
    struct err err;
    const char *event = handover_event_name(call->event);
    const char *step = journal_step_name(call->move->entry.step);
    const uint8_t *hash = hash_for(&call->move->entry, call->event);
    if (call->has_secret && hash && !handover_fits(call->secret, hash)) {
        (void)err_set(&err, ERR_REFUSED, "secret-forged",
                      "%s came with a secret that is not the one agreed on", event);
        (void)err_arg(&err, "event", "%s", event);
    } else {
        (void)err_set(&err, ERR_REFUSED, "handover-out-of-order", "%s has no place after %s", event, step);
        (void)err_arg(&err, "event", "%s", event);
        (void)err_arg(&err, "step", "%s", step);
    }
    err_place(&err, "switch-over", move_side(call->move));
    finish(call, NULL, &err);
}

/* ---- acts ---- */

static void run_guest(struct call *call);

static gboolean resume_again(gpointer user)
{
    run_guest(user);
    return G_SOURCE_REMOVE;
}

static void source_runs_again(struct vm *vm, enum vm_cont_result result, const struct err *err, void *user)
{
    struct call *call = user;
    /* A control connection that broke is made again. */
    if (result == VM_CONT_UNKNOWN && vm->pidfd >= 0 && call->n_resumes++ < RESUME_TRIES) {
        (void)g_timeout_add(RESUME_PAUSE_MS, resume_again, call);
        return;
    }
    if (result != VM_CONT_RUNS) {
        struct err shown = *err;
        log_error(err, "the guest could not be resumed on the source");
        (void)err_prefix(&shown, "the VM is back on the source, but paused");
        (void)err_fix(&shown, "start the VM again once the cause is gone");
        call->move->status.error = shown;
    } else {
        move_note(call->move, "VM resumed", NULL);
    }
    finish(call, NULL, NULL);
}

static void destination_ran(struct vm *vm, enum vm_cont_result result, const struct err *err, void *user)
{
    struct call *call = user;
    (void)vm;
    if (result == VM_CONT_FAILED) {
        log_error(err, "the guest could not be started on the destination");
        move_note(call->move, "guest not started", "%s", err->message);
        move_set_error(call->move, err);
    } else {
        call->move->is_stopped = result == VM_CONT_UNKNOWN;
        call->move->is_recovered |= result == VM_CONT_UNKNOWN;
    }
    if (result == VM_CONT_RUNS)
        move_note(call->move, "guest runs", NULL);
    call->event = result == VM_CONT_RUNS     ? HANDOVER_CONT_RAN
                  : result == VM_CONT_FAILED ? HANDOVER_CONT_FAILED
                                             : HANDOVER_CONT_UNKNOWN;
    call->has_secret = false;
    decide(call);
}

static void run_guest(struct call *call)
{
    struct move *move = call->move;
    if (move->vm && move->vm->pidfd >= 0) {
        vm_cont(move->vm, CONT_DEADLINE_MS, move->entry.is_destination ? destination_ran : source_runs_again,
                call);
        return;
    }
    if (!move->entry.is_destination) {
        finish(call, NULL, NULL);
        return;
    }
    struct err err;
    if (move->vm) {
        vm_died(move->vm, true, &err);
    } else {
        (void)err_set(&err, ERR_PEER_LOST, "qemu-died", "there is no QEMU for the guest on host %s",
                      move->agent->config.name);
        (void)err_arg(&err, "host", "%s", move->agent->config.name);
    }
    destination_ran(NULL, move->is_recovered ? VM_CONT_UNKNOWN : VM_CONT_FAILED, &err, call);
}

static void qemu_is_gone(struct vm *vm, const struct err *err, void *user)
{
    struct call *call = user;
    if (err_is_set(err))
        log_error(err, "ending QEMU of VM %s", call->move->spec.vm.uuid);
    move_note(call->move, call->move->entry.is_destination ? "shell ended" : "QEMU ended", NULL);
    call->move->vm = NULL;
    vm->status.move[0] = '\0';
    vm_forget(vm);
    finish_with_verdict(call);
}

static void end_guest(struct call *call)
{
    struct move *move = call->move;
    if (!move->vm) {
        finish_with_verdict(call);
        return;
    }
    move->vm->ended = NULL;
    move->vm->told = NULL;
    vm_end(move->vm, qemu_is_gone, call);
}

static gboolean look_again(gpointer user)
{
    struct move *move = user;
    handover_submit(move, HANDOVER_RECOVERED, NULL, NULL, NULL, NULL);
    move_unref(move);
    return G_SOURCE_REMOVE;
}

static void release_commit(struct call *call)
{
    struct move *move = call->move;
    struct handover_answer answer = {0};
    memcpy(answer.secret, move->entry.commit, MOVE_SECRET_SIZE);
    memcpy(move->status.commit, move->entry.commit, MOVE_SECRET_SIZE);
    move_note(move, "COMMIT released", NULL);
    move_set_state(move, MOVE_GIVEN);
    finish(call, &answer, NULL);
}

static void let_go(struct call *call)
{
    struct move *move = call->move;
    struct err why;
    (void)err_set(&why, ERR_CANCELLED, "settled-by-operator", "the operator settled which host owns the VM");
    move->is_overruled = true;
    if (!move->is_settled) {
        move_set_error(move, &why);
        move_settle(move, MOVE_FAILED);
    }
    if (move->status.state < MOVE_DONE)
        move_close(move); /* its job has no more to say */
    finish(call, NULL, NULL);
}

static void carry_out(struct call *call)
{
    struct move *move = call->move;
    struct handover_answer answer = {0};
    switch (call->plan.act) {
    case ACT_NOTHING:
        finish(call, NULL, NULL);
        break;
    case ACT_REFUSE:
        refuse(call);
        break;
    case ACT_RETRY:
        (void)g_timeout_add(RETRY_MS, look_again, move_ref(move));
        finish_with_verdict(call);
        break;
    case ACT_RELEASE_READY:
        memcpy(answer.secret, move->entry.ready, MOVE_SECRET_SIZE);
        move_note(move, "READY released", NULL);
        finish(call, &answer, NULL);
        break;
    case ACT_RELEASE_COMMIT:
        release_commit(call);
        break;
    case ACT_RELEASE_VERDICT:
        finish_with_verdict(call);
        break;
    case ACT_CONT:
        run_guest(call);
        break;
    case ACT_LET_GO:
        let_go(call);
        break;
    case ACT_END:
        end_guest(call);
        break;
    }
}

/* ---- deciding and writing ---- */

static void written(const struct err *err, void *user);

static gboolean write_again(gpointer user)
{
    struct call *call = user;
    journal_write(call->move->journal, &call->move->entry, written, call);
    return G_SOURCE_REMOVE;
}

/* Nothing may be done before its step is durable, and after a failure the file may hold either entry. A step
 * forward is given up; COMMIT was not released, or stays unanswered. A step back is written until it is
 * durable; only if GIVEN was never tried may the guest run on at once, because SENDING allows that too. */
static void write_failed(struct call *call, const struct err *err)
{
    struct move *move = call->move;
    log_error(err, "cannot write %s", journal_step_name(move->entry.step));
    move_set_error(move, err);
    if (call->plan.write == JOURNAL_GIVEN) {
        move->entry.step = JOURNAL_SENDING;
        move->is_tainted = true;
        handover_doubt(move, err);
        finish(call, NULL, err);
    } else if (call->plan.write == JOURNAL_OWNED) {
        move->entry.step = JOURNAL_INCOMING;
        finish(call, NULL, err);
    } else if (call->plan.write == JOURNAL_RESUMED && call->event == HANDOVER_DOUBT && !move->is_tainted) {
        carry_out(call);
    } else {
        (void)g_timeout_add(REWRITE_MS, write_again, call);
    }
}

static void written(const struct err *err, void *user)
{
    struct call *call = user;
    if (err_is_set(err)) {
        write_failed(call, err);
        return;
    }
    const struct journal_entry *entry = &call->move->entry;
    log_info("journal of VM %s: %s, epoch %llu", call->move->spec.vm.uuid, journal_step_name(entry->step),
             (unsigned long long)entry->epoch);
    g_autofree char *event = g_strdup_printf("%s durable", journal_step_name(entry->step));
    move_note(call->move, event, "epoch %llu", (unsigned long long)entry->epoch);
    if (call->move->vm)
        call->move->vm->status.epoch = call->move->entry.epoch;
    carry_out(call);
}

/* A COMMIT may be read before the word that QEMU has died, and must not be taken then: after OWNED nobody
 * could tell whether the guest ran. */
static bool can_run(const struct vm *vm)
{
    struct pollfd exit = {.fd = vm->pidfd, .events = POLLIN};
    return vm->pidfd >= 0 && poll(&exit, 1, 0) == 0;
}

static void explain_abort(struct move *move)
{
    struct err err;
    if (!move->vm || can_run(move->vm))
        return;
    vm_died(move->vm, true, &err);
    move_set_error(move, &err);
}

static void decide(struct call *call)
{
    struct move *move = call->move;
    const uint8_t *hash = hash_for(&move->entry, call->event);
    struct handover_view view = {
        .step = move->entry.step,
        .is_destination = move->entry.is_destination,
        .is_authentic = call->has_secret && hash && handover_fits(call->secret, hash),
        .qemu_lives = move->vm && move->vm->pidfd >= 0,
        .is_stopped = move->is_stopped,
        .is_overruled = move->is_overruled,
        .cont_tried = move->is_recovered,
    };
    view.can_go_on = view.qemu_lives && (view.is_destination ? move->is_loaded && can_run(move->vm)
                                                             : move->is_stopped && move->is_saved);
    call->plan = handover_decide(&view, call->event);
    if (call->event == HANDOVER_DOUBT && call->plan.write != JOURNAL_NONE) {
        if (call->why.code == ERR_TIMEOUT)
            move_say_last(move, &call->why);
        move_set_error(move, &call->why);
        move_note(move, "failed", "%s: %s", call->why.id, call->why.message);
        job_control_cancel(move->job, &call->why, 500);
        move_break_off_disks(move);
    }
    if (call->event == HANDOVER_COMMIT && call->plan.write == JOURNAL_ABORTED)
        explain_abort(move);
    if (call->plan.write == JOURNAL_NONE) {
        carry_out(call);
        return;
    }
    move->entry.step = call->plan.write;
    if (call->plan.write == JOURNAL_RESUMED)
        move->entry.epoch++;
    journal_write(move->journal, &move->entry, written, call);
}
