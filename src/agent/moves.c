/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/moves.h"

#include <glib.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent/disk_flush.h"
#include "agent/disk_images.h"
#include "agent/door.h"
#include "agent/move.h"
#include "agent/precedence.h"
#include "agent/premap.h"
#include "agent/space.h"
#include "agent/storage_move.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/task_log.h"
#include "model/finding.h"

#define LAST_WORDS_MS 3000u
#define DEFAULT_CHANNELS 2u
#define TELL_LATE_MS 30u /* a switch-over is over by then, as a rule */

struct preparer {
    move_done done;
    void *user;
};

struct watcher {
    struct move *move; /* a reference */
    uint64_t version;
    guint timer;
    void (*changed)(struct agent *agent, const char *id, void *user);
    void *user;
};

/* ---- registry ---- */

struct move *move_ref(struct move *move)
{
    move->n_refs++;
    return move;
}

void move_unref(struct move *move)
{
    if (--move->n_refs)
        return;
    task_log_close(move->status.id);
    journal_close(move->journal);
    move_close_stream(move);
    explicit_bzero(&move->entry, sizeof move->entry);
    explicit_bzero(&move->spec, sizeof move->spec);
    g_free(move);
}

void move_log(const struct move *move)
{
    task_log_open(move->status.id, move->spec.vm.uuid, move_side(move));
}

static GHashTable *table(struct agent *agent)
{
    if (!agent->moves)
        agent->moves = g_hash_table_new(g_str_hash, g_str_equal);
    return agent->moves;
}

struct move *move_new(struct agent *agent, const struct move_spec *spec, bool is_source)
{
    struct move *move = g_new0(struct move, 1);
    move->agent = agent;
    move->n_refs = 1;
    move->spec = *spec;
    if (!spec->n_channels) /* nobody has chosen yet */
        move->spec.n_channels = spec->options.channels ? spec->options.channels : DEFAULT_CHANNELS;
    move->spec.n_channels = MIN(move->spec.n_channels, MOVE_CHANNELS_MAX);
    move->status.is_source = is_source;
    move->status.version = 1;
    move->stream = -1;
    g_strlcpy(move->status.id, spec->id, sizeof move->status.id);
    g_strlcpy(move->status.encryption, "none", sizeof move->status.encryption);
    g_queue_init(&move->events);
    (void)g_hash_table_insert(table(agent), move->status.id, move);
    return move;
}

struct move *moves_find(struct agent *agent, const char *id)
{
    return g_hash_table_lookup(table(agent), id);
}

int move_open_journal(struct agent *agent, const char *uuid, bool create, struct journal **ret_journal,
                      struct err *err)
{
    g_autofree char *path = g_strdup_printf("%s/vms/%s.journal", agent->config.state_dir, uuid);
    if (!create && access(path, F_OK) < 0) {
        (void)err_set(err, ERR_NOT_FOUND, "journal-not-found", "this host has never had VM %s", uuid);
        return err_arg(err, "vm", "%s", uuid);
    }
    return journal_open(path, ret_journal, err);
}

int move_check_session(const struct journal_entry *entry, const char *session, struct err *err)
{
    if (strcmp(entry->session, session) != 0 && strcmp(entry->past.session, session) != 0)
        return 0;
    (void)err_set(err, ERR_REFUSED, "session-over", "move %s was tried before, and is over", session);
    return err_arg(err, "task", "%s", session);
}

static void qemu_ended(struct vm *vm, void *user)
{
    struct err err;
    struct move *move = user;
    vm_died(vm, !move->status.is_source, &err);
    handover_doubt(move, &err);
}

/* A reset needs nothing: what it writes is seen as any other write, and devices are saved when the guest
 * stands. */
static void guest_did(struct vm *vm, enum vm_news news, void *user)
{
    struct err err;
    struct move *move = user;
    if (news == VM_NEWS_RESET) {
        move_note(move, "guest reset", NULL);
        move_changed(move);
        return;
    }
    vm_panicked(vm, &err);
    handover_doubt(move, &err);
}

void move_take_vm(struct move *move, struct vm *vm)
{
    move->vm = vm;
    move->status.ram_bytes = vm->ram_size;
    vm->status.epoch = move->entry.epoch;
    g_strlcpy(vm->status.move, move->spec.id, sizeof vm->status.move);
    vm->ended = qemu_ended;
    vm->told = guest_did;
    vm->ended_user = move;
}

/* ---- status ---- */

void moves_status(const struct move *move, struct move_status *ret_status)
{
    *ret_status = move->status;
}

void moves_each(struct agent *agent, void (*call)(const struct move_summary *summary, void *user), void *user)
{
    GHashTableIter iter;
    gpointer value;
    g_hash_table_iter_init(&iter, table(agent));
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const struct move *move = value;
        struct move_summary summary = {
            .id = move->status.id,
            .vm_uuid = move->spec.vm.uuid,
            .peer = move->status.is_source ? move->spec.destination : move->spec.source,
            .is_source = move->status.is_source,
            .state = move->status.state,
        };
        call(&summary, user);
    }
}

static void watcher_fire(struct watcher *watcher)
{
    struct move *move = watcher->move;
    move->watchers = g_slist_remove(move->watchers, watcher);
    if (watcher->timer)
        (void)g_source_remove(watcher->timer);
    watcher->changed(move->agent, move->status.id, watcher->user);
    g_free(watcher);
    move_unref(move);
}

static gboolean watcher_is_over(gpointer user)
{
    struct watcher *watcher = user;
    watcher->timer = 0;
    watcher_fire(watcher);
    return G_SOURCE_REMOVE;
}

void moves_watch(struct move *move, uint64_t version, unsigned wait_ms,
                 void (*changed)(struct agent *agent, const char *id, void *user), void *user)
{
    struct watcher *watcher = g_new0(struct watcher, 1);
    watcher->move = move_ref(move);
    watcher->version = version;
    watcher->changed = changed;
    watcher->user = user;
    watcher->timer = g_timeout_add(move->status.version > version ? 0 : wait_ms, watcher_is_over, watcher);
    move->watchers = g_slist_prepend(move->watchers, watcher);
}

static void tell_watchers(struct move *move)
{
    move_ref(move);
    GSList *due = NULL;
    for (GSList *at = move->watchers; at; at = at->next)
        if (move->status.version > ((struct watcher *)at->data)->version)
            due = g_slist_prepend(due, at->data);
    g_slist_free_full(due, (GDestroyNotify)watcher_fire);
    move_unref(move);
}

static gboolean tell_watchers_late(gpointer user)
{
    struct move *move = user;
    move->tell_timer = 0;
    tell_watchers(move);
    move_unref(move);
    return G_SOURCE_REMOVE;
}

/* While the guest stands, a report that must be written and encrypted for the manager is in its way. */
void move_changed(struct move *move)
{
    move->status.version++;
    if (!move->status.switch_start_ms || move->is_settled)
        tell_watchers(move);
    else if (!move->tell_timer)
        move->tell_timer =
            g_timeout_add_full(G_PRIORITY_LOW, TELL_LATE_MS, tell_watchers_late, move_ref(move), NULL);
}

void move_note(struct move *move, const char *event, const char *format, ...)
{
    char detail[MOVE_EVENT_DETAIL] = "";
    if (format) {
        va_list args;
        va_start(args, format);
        (void)vsnprintf(detail, sizeof detail, format, args);
        va_end(args);
    }
    move_timeline_add(&move->status.timeline, clock_wall_ms(), event, detail);
}

void move_say_last(const struct move *move, struct err *err)
{
    const struct move_timeline *timeline = &move->status.timeline;
    if (!timeline->n_events || err->cause[0])
        return;
    const struct move_event *last = &timeline->events[timeline->n_events - 1];
    double seconds = (double)(clock_wall_ms() - last->time_ms) / 1000;
    (void)err_cause(err,
                    "the last that happened here was '%s', %.1f s before; %llu bytes had crossed by then",
                    last->event, seconds, (unsigned long long)move->status.bytes_on_wire);
    (void)err_arg(err, "last", "%s", last->event);
    (void)err_arg(err, "last_s", "%.1f", seconds);
}

static pid_t qemu_of(const struct move *move)
{
    return move->vm && move->vm->pidfd >= 0 ? (pid_t)move->vm->status.pid : 0;
}

void move_take_precedence(struct move *move)
{
    if (!move->has_precedence)
        precedence_take(qemu_of(move), move->job ? job_control_pid(move->job) : 0);
    move->has_precedence = true;
}

static void give_precedence_back(struct move *move)
{
    if (move->has_precedence)
        precedence_give_back(qemu_of(move));
    move->has_precedence = false;
}

void move_set_state(struct move *move, enum move_state state)
{
    if (state <= move->status.state)
        return;
    log_info("move %s (%s): %s", move->status.id, move_side(move), move_state_name(state));
    move->status.state = state;
    /* A source that has handed the VM over only waits, maybe for long. */
    if (state == MOVE_GIVEN)
        give_precedence_back(move);
    if (state == MOVE_DONE || state == MOVE_FAILED) {
        move->status.end_ms = clock_wall_ms();
        task_log_close(move->status.id); /* it stays on the list for as long as the manager likes */
    }
    if (state != MOVE_GIVEN)
        explicit_bzero(move->status.commit, sizeof move->status.commit);
    move_changed(move);
}

const char *move_phase_now(const struct move *move)
{
    /* How far it had come is not in the journal; the manager knows. */
    if (move->is_recovered)
        return "";
    if (move->status.switch_start_ms)
        return move_phase_name(PHASE_SWITCH_OVER);
    if (move->status.copy_start_ms || move->job)
        return move_phase_name(PHASE_COPY);
    return move_phase_name(move->status.is_source ? PHASE_SOURCE_CHECK : PHASE_DESTINATION_SHELL);
}

void move_set_error(struct move *move, const struct err *why)
{
    if (!err_is_set(why) || err_is_set(&move->status.error))
        return;
    move->status.error = *why;
    err_place(&move->status.error, move_phase_now(move), move_side(move));
    move_changed(move);
}

/* ---- prepare ---- */

void move_add_preparer(struct move *move, move_done done, void *user)
{
    struct preparer *preparer = g_new0(struct preparer, 1);
    preparer->done = done;
    preparer->user = user;
    move->preparers = g_slist_append(move->preparers, preparer);
}

void move_prepared(struct move *move, const struct err *err)
{
    struct err none = {0};
    struct move_answer answer = {.spec = move->spec, .ram_bytes = move->status.ram_bytes};
    GSList *waiting = g_steal_pointer(&move->preparers);
    move->is_prepared = !err;
    for (GSList *at = waiting; at; at = at->next) {
        struct preparer *preparer = at->data;
        preparer->done(move->agent, err ? NULL : &answer, err ? err : &none, preparer->user);
    }
    g_slist_free_full(waiting, g_free);
    explicit_bzero(&answer, sizeof answer);
}

void move_prepare_again(struct move *move, bool is_source, move_done done, void *user)
{
    struct err err = {0};
    if (move->status.is_source != is_source) {
        (void)err_set(&err, ERR_BAD_REQUEST, "wrong-side", "this host is the %s of move %s", move_side(move),
                      move->status.id);
        (void)err_arg(&err, "side", "%s", move_side(move));
        (void)err_arg(&err, "task", "%s", move->status.id);
    } else if (err_is_set(&move->status.error)) {
        err = move->status.error;
    }
    if (err_is_set(&err)) {
        done(move->agent, NULL, &err, user);
        return;
    }
    bool is_waiting = move->preparers != NULL;
    move_add_preparer(move, done, user);
    if (!is_waiting)
        move_prepared(move, NULL);
}

void moves_find_problems(struct agent *agent, const struct move_spec *spec, bool as_source,
                         struct findings *findings)
{
    struct err err = {0};
    findings_note(findings, vms_check_up(agent, &err), &err);
    space_find_problems(agent, findings);
    if (move_is_here(spec))
        storage_find_problems(agent, spec, as_source, findings);
    else if (as_source)
        source_find_problems(agent, spec, findings);
    else
        destination_find_problems(agent, spec, findings);
    const struct vm *vm = vm_find(agent, spec->vm.uuid);
    if (as_source && vm)
        disk_images_find_clones(agent, &vm->status.spec, spec, findings);
    findings_place(findings, move_phase_name(as_source ? PHASE_SOURCE_CHECK : PHASE_DESTINATION_CHECK),
                   as_source ? "source" : "destination");
}

int moves_check(struct agent *agent, const struct move_spec *spec, bool as_source, struct err *err)
{
    g_autofree struct findings *findings = g_new0(struct findings, 1);
    moves_find_problems(agent, spec, as_source, findings);
    return findings_first(findings, err);
}

/* ---- the end of a move ---- */

void move_close(struct move *move)
{
    if (move->close_timer)
        (void)g_source_remove(move->close_timer);
    move->close_timer = 0;
    move_close_stream(move);
    job_control_free(g_steal_pointer(&move->job));
    move_set_state(move, move->outcome);
}

static gboolean last_words_are_over(gpointer user)
{
    struct move *move = user;
    move->close_timer = 0;
    move_close(move);
    return G_SOURCE_REMOVE;
}

static gboolean close_soon(gpointer user)
{
    struct move *move = user;
    if (!move->job && move->status.state < MOVE_DONE)
        move_close(move);
    move_unref(move);
    return G_SOURCE_REMOVE;
}

void move_settle(struct move *move, enum move_state outcome)
{
    give_precedence_back(move);
    premap_end(g_steal_pointer(&move->premap));
    disk_flush_free(g_steal_pointer(&move->disk_flush));
    move_break_off_disks(move);
    move->is_settled = true;
    move->outcome = outcome;
    if (move->limit_timer)
        (void)g_source_remove(move->limit_timer);
    move->limit_timer = 0;
    if (move->lease_timer)
        (void)g_source_remove(move->lease_timer);
    move->lease_timer = 0;
    if (!move->status.is_source && move->agent->door)
        door_forget(move->agent->door, move->spec.ticket);
    if (move->vm) {
        if (move->status.is_source && move->job && !move->is_stopped && move->vm->qmp)
            vm_withdraw_stream(move->vm);
        move->vm->status.move[0] = '\0';
        vm_lease_release(move->vm);
        move->vm->ended = NULL;
        move->vm->told = NULL;
        move->vm = NULL;
    }
    if (outcome == MOVE_FAILED && !err_is_set(&move->status.error)) {
        struct err err;
        (void)err_set(&err, ERR_PEER_LOST, "move-taken-back", "the destination gave the VM back");
        move_set_error(move, &err);
    }
    if (outcome == MOVE_DONE)
        err_clear(&move->status.error);
    move_settle_images(move);
    if (move->job)
        move->close_timer = g_timeout_add(LAST_WORDS_MS, last_words_are_over, move);
    (void)g_idle_add(close_soon, move_ref(move));
}

int moves_cancel(struct agent *agent, const char *id, const struct err *why, struct err *err)
{
    struct move *move = moves_find(agent, id);
    if (!move) {
        (void)err_set(err, ERR_NOT_FOUND, "move-not-found", "there is no move %s on this host", id);
        return err_arg(err, "task", "%s", id);
    }
    if (handover_is_too_late(move)) {
        (void)err_set(err, ERR_REFUSED, "too-late-to-cancel", "the VM is already handed over");
        return err_fix(err, "wait until the migration is over, and migrate the VM back");
    }
    struct err reason;
    (void)err_set(&reason, ERR_CANCELLED, "cancelled", "the move was cancelled");
    const struct err *told = err_is_set(why) ? why : &reason;
    if (move->storage)
        return storage_cancel(move, told, err);
    if (!move->is_settled)
        handover_doubt(move, told);
    return 0;
}

int moves_forget(struct agent *agent, const char *id, struct err *err)
{
    struct move *move = moves_find(agent, id);
    if (!move)
        return 0;
    if (move->status.state < MOVE_DONE) {
        (void)err_set(err, ERR_REFUSED, "move-is-running", "move %s is not over yet", id);
        return err_arg(err, "task", "%s", id);
    }
    (void)g_hash_table_remove(agent->moves, id);
    move_changed(move); /* nobody waits for a version that will not come */
    move_unref(move);
    return 0;
}
