/* SPDX-License-Identifier: Apache-2.0 */
#include "manager/task.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/task_log.h"
#include "manager/admit.h"
#include "manager/agent_client.h"
#include "manager/events.h"
#include "manager/migrate.h"
#include "manager/tasks_private.h"

#define SAVE_RETRY_MS 1000
#define CANCEL_TIMEOUT_S 5
/* A source that has not said by then whether it is too late: the ending finds out. */
#define CANCEL_PATIENCE_MS 400
#define WAIT_SHOWN_MS 1000
#define LAST_WAIT_MS 1000
/* Lines of the timeline that waits may fill: each phase has a line too, and the end. */
#define WAITS_NOTED (MOVE_EVENTS_MAX / 2)

enum cancel_rule {
    CANCEL_HERE,  /* no agent knows of the move yet */
    CANCEL_ENDS,  /* both sides are told by the ending */
    CANCEL_ASKS,  /* only the source knows whether it is too late */
    CANCEL_NEVER, /* ownership has moved */
};

/* The whole life of a migration on one screen. Deadline in seconds: of the phase; of the copy: without any
 * progress; switch-over: added to the operator's limit; 0: it waits for no host. The configuration may say
 * another one. Progress in percent at the beginning; ends where the next begins. */
static const struct phase_row {
    enum move_phase phase;
    void (*enter)(struct task *task);
    enum cancel_rule cancel;
    unsigned deadline_s;
    unsigned progress;
} table[MOVE_PHASES + 1] = {
    {PHASE_REQUEST, migrate_enter_request, CANCEL_HERE, 0, 0},
    {PHASE_DESTINATION_CHECK, migrate_enter_destination_check, CANCEL_HERE, 15, 1},
    {PHASE_SPECIFICATION, migrate_enter_specification, CANCEL_HERE, 5, 4},
    {PHASE_SOURCE_CHECK, migrate_enter_source_check, CANCEL_ENDS, 30, 5},
    {PHASE_DESTINATION_SHELL, migrate_enter_destination_shell, CANCEL_ENDS, 60, 8},
    {PHASE_COPY, migrate_enter_copy, CANCEL_ASKS, 120, 12},
    {PHASE_SWITCH_OVER, migrate_enter_switch_over, CANCEL_ASKS, 30, 90},
    {PHASE_INVENTORY, migrate_enter_inventory, CANCEL_NEVER, 30, 96},
    {PHASE_COMPLETE, migrate_enter_complete, CANCEL_NEVER, 0, 100},
    {.progress = 100},
};

static const char *const state_names[] = {
    [TASK_QUEUED] = "queued", [TASK_RUNNING] = "running",     [TASK_SUCCESS] = "success",
    [TASK_ERROR] = "error",   [TASK_CANCELLED] = "cancelled",
};

const char *task_state_name(enum task_state state)
{
    return state_names[state];
}

bool task_is_final(enum task_state state)
{
    return state == TASK_SUCCESS || state == TASK_ERROR || state == TASK_CANCELLED;
}

bool task_is_here(const struct task *task)
{
    return !strcmp(task->source_host, task->destination_host);
}

unsigned task_deadline_s(const struct task *task)
{
    unsigned extra = task->phase == PHASE_SWITCH_OVER ? task->options.switchover_limit_s : 0;
    unsigned configured = task->manager->config.deadline_s[task->phase];
    return (configured ? configured : table[task->phase].deadline_s) + extra;
}

unsigned task_left_s(const struct task *task)
{
    uint64_t waited_s = (clock_now_ns() - task->phase_start_ns) / NS_PER_S;
    unsigned limit_s = task_deadline_s(task);
    return waited_s < limit_s ? limit_s - (unsigned)waited_s : 1;
}

/* ---- state ---- */

int task_save(const struct task *task, struct err *err)
{
    bool is_final = task_is_final(task->state);
    g_autoptr(JsonObject) document = task_to_json(task);
    g_autoptr(JsonNode) timeline = json_object_dup_member(document, TASK_TIMELINE);
    /* Nobody goes on with what is over. */
    g_autoptr(JsonObject) internals = is_final ? json_object_new() : task_internals_to_json(task);
    json_object_remove_member(document, TASK_TIMELINE);
    g_autofree char *document_text = model_print(document, false);
    g_autofree char *timeline_text = json_to_string(timeline, FALSE);
    g_autofree char *internals_text = model_print(internals, false);
    struct db_task row = {
        .id = task->id,
        .number = task->number,
        .client_key = task->client_key[0] ? task->client_key : NULL,
        .final = is_final,
        .document = document_text,
        .timeline = timeline_text,
        .internals = internals_text,
        .state = task_state_name(task->state),
        .vm = task->vm_name,
        .vm_uuid = task->vm_uuid,
        .source = task->source_host,
        .destination = task->destination_host,
        .user = task->user,
        .created_ms = task->created_ms,
        .ended_ms = task->ended_ms,
    };
    return db_task_put(task->manager->db, &row, err);
}

struct showing {
    struct manager *manager;
    char task[MODEL_UUID_SIZE];
};

/* `is_told`: it is a new state or phase, and an event. */
static void publish(struct task *task, bool is_told)
{
    g_autoptr(JsonObject) document = task_to_json(task);
    if (is_told)
        task_tell_state(task, document);
    events_publish_task(task->manager->events, task->id, document, task_is_final(task->state));
}

static void enter(struct task *task)
{
    if (task->is_ending)
        migrate_enter_end(task);
    else
        table[task->phase].enter(task);
}

static void leave(struct task *task)
{
    struct manager *manager = task->manager;
    task_log_close(task->id);
    (void)g_hash_table_remove(manager->tasks->open, task->id);
    admit_run(manager);
}

/* Until it is saved nothing of the new state may happen. A full disk may become free again. */
static void save_and_enter(struct task *task)
{
    struct err err = {0};
    if (task_save(task, &err)) {
        log_error(&err, "task %s cannot be saved", task->id);
        task_wait_since(task, 0, "the manager's database: %s", err.message);
        task_after(task, SAVE_RETRY_MS, save_and_enter);
        return;
    }
    log_info("task %s: %s, %s%s", task->id, task_state_name(task->state), move_phase_name(task->phase),
             task->is_ending && !task_is_final(task->state) ? ", ending" : "");
    publish(task, true);
    if (task_is_final(task->state))
        leave(task);
    else
        enter(task);
}

/* True if it is a new one. */
static bool open_phase(struct task *task, enum move_phase phase)
{
    int64_t now = clock_wall_ms();
    for (unsigned i = 0; i < task->n_phases; i++)
        if (task->phases[i].phase == phase) {
            /* It lasts, or a restarted manager begins it again. */
            task->n_phases = i + 1;
            task->phases[i].end_ms = 0;
            return false;
        }
    if (task->n_phases)
        task->phases[task->n_phases - 1].end_ms = now;
    task->phases[task->n_phases++] = (struct task_phase){.phase = phase, .start_ms = now};
    return true;
}

void task_set_state(struct task *task, enum task_state state, enum move_phase phase)
{
    int64_t now = clock_wall_ms();
    task->serial++;
    task->state = state;
    task->phase = phase;
    task->phase_start_ns = task->progress_ns = clock_now_ns();
    task->waiting_for[0] = '\0';
    task->waiting_since_ms = 0;
    if (open_phase(task, phase))
        task_note(task, "phase", "%s", move_phase_name(phase));
    if (state == TASK_RUNNING && !task->started_ms)
        task->started_ms = now;
    if (table[phase].progress > task->progress)
        task->progress = table[phase].progress;
    if (task_is_final(state)) {
        task->ended_ms = now;
        task_note(task, "over", "%s", task_state_name(state));
        task->phases[task->n_phases - 1].end_ms = now;
        task->progress = state == TASK_SUCCESS ? 100 : task->progress;
    }
    save_and_enter(task);
}

void task_publish(struct task *task, double share)
{
    double from = table[task->phase].progress;
    double to = table[task->phase + 1].progress;
    double progress = from + (to - from) * CLAMP(share, 0.0, 1.0);
    double before = task->progress;
    struct err err = {0};
    if (progress > before)
        task->progress = progress;
    /* What was shown never goes back, also when the manager is killed: saved before it is shown. */
    if ((int64_t)task->progress > (int64_t)before && task_save(task, &err)) {
        log_error(&err, "task %s: its progress cannot be saved", task->id);
        task->progress = before;
    }
    publish(task, false);
}

static gboolean show_wait(void *user)
{
    g_autofree struct showing *showing = user;
    struct task *task = tasks_find(showing->manager, showing->task);
    if (!task)
        return G_SOURCE_REMOVE;
    if (!task->waiting_for[0]) {
        task->is_wait_shown = false;
        return G_SOURCE_REMOVE;
    }
    publish(task, false);
    (void)g_steal_pointer(&showing);
    return G_SOURCE_CONTINUE;
}

/* Those who follow the task see how long it has been waiting. */
static void keep_showing(struct task *task)
{
    if (task->is_wait_shown)
        return;
    struct showing *showing = g_new0(struct showing, 1);
    showing->manager = task->manager;
    (void)g_strlcpy(showing->task, task->id, sizeof showing->task);
    task->is_wait_shown = true;
    (void)g_timeout_add(WAIT_SHOWN_MS, show_wait, showing);
}

void task_wait_since(struct task *task, int64_t since_ms, const char *format, ...)
{
    char text[sizeof task->waiting_for];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (!strcmp(text, task->waiting_for))
        return;
    memcpy(task->waiting_for, text, sizeof text);
    task->waiting_since_ms = since_ms ? since_ms : clock_wall_ms();
    log_info("task %s waits for %s", task->id, task->waiting_for);
    /* On a network that comes and goes they would push everything else out. */
    if (task->story.n_events < WAITS_NOTED) {
        bool is_copying = task->phase == PHASE_COPY || task->phase == PHASE_SWITCH_OVER;
        task_note(task, "waits", "for %s", task->waiting_for);
        task_tell(task, is_copying ? EVENT_MIGRATION_STALLED : EVENT_MIGRATION_WAITS, NULL, "%s",
                  task->waiting_for);
    }
    publish(task, false);
    keep_showing(task);
}

static void remember_wait(struct task *task)
{
    memcpy(task->last_wait.what, task->waiting_for, sizeof task->last_wait.what);
    task->last_wait.since_ms = task->waiting_since_ms;
    task->last_wait.until_ms = clock_wall_ms();
}

void task_wait_over(struct task *task)
{
    if (!task->waiting_for[0])
        return;
    remember_wait(task);
    task->waiting_for[0] = '\0';
    task->waiting_since_ms = 0;
    publish(task, false);
}

/* ---- ends ---- */

/* A side whose time was over knows for how long; for whom the task had waited, the manager. That the side
 * gives up may be news of its own, before its error comes: the wait was over then. */
static void say_waited_for(struct task *task, struct err *err)
{
    if (task->waiting_for[0])
        remember_wait(task);
    const struct task_wait *wait = &task->last_wait;
    double seconds = (double)(wait->until_ms - wait->since_ms) / 1000;
    bool is_recent = clock_wall_ms() - wait->until_ms < LAST_WAIT_MS;
    if (err->code != ERR_TIMEOUT || !wait->what[0] || !is_recent || seconds < 1)
        return;
    struct err before = *err;
    (void)err_cause(err, "the task had waited %.1f s for %s%s%s", seconds, wait->what,
                    before.cause[0] ? "; " : "", before.cause);
    (void)err_arg(err, "waited_for", "%s", wait->what);
}

void task_fail(struct task *task, const struct err *why, const char *side)
{
    if (task->is_ending)
        return;
    task->is_ending = true;
    task->error = *why;
    say_waited_for(task, &task->error);
    err_place(&task->error, move_phase_name(task->phase), side);
    log_error(&task->error, "task %s ends", task->id);
    task_note(task, "ending", "%s: %s", why->id, why->message);
    if (table[task->phase].cancel == CANCEL_HERE)
        task_finish_failed(task);
    else
        task_set_state(task, task->state, task->phase);
}

void task_finish_failed(struct task *task)
{
    bool is_cancelled = task->error.code == ERR_CANCELLED;
    migrate_guest_aborted(task);
    task_set_state(task, is_cancelled ? TASK_CANCELLED : TASK_ERROR, task->phase);
}

void task_rescue(struct task *task)
{
    log_info("task %s: the destination runs the VM all the same", task->id);
    task->is_ending = false;
    err_clear(&task->error);
    if (task->phase < PHASE_SWITCH_OVER)
        (void)open_phase(task, PHASE_SWITCH_OVER);
    task_set_state(task, TASK_RUNNING, PHASE_INVENTORY);
}

struct cancelling {
    struct manager *manager;
    char task[MODEL_UUID_SIZE];
    struct err why;
    guint timer;         /* of its patience; 0: over */
    task_cancelled done; /* NULL once it was called */
    void *user;
};

/* The ending tells the source again; a source that has given the VM away turns it into a success. */
static gboolean source_is_slow(void *user)
{
    struct cancelling *cancelling = user;
    struct task *task = tasks_find(cancelling->manager, cancelling->task);
    struct err none = {0};
    cancelling->timer = 0;
    if (task)
        task_fail(task, &cancelling->why, "");
    g_steal_pointer (&cancelling->done)(&none, cancelling->user);
    return G_SOURCE_REMOVE;
}

static void source_asked(JsonObject *object, const struct err *err, void *user)
{
    (void)object;
    struct cancelling *cancelling = user;
    if (!cancelling->timer) {
        g_free(cancelling);
        return;
    }
    g_source_remove(cancelling->timer);
    struct task *task = tasks_find(cancelling->manager, cancelling->task);
    bool is_refused = err_is_set(err) && err->code == ERR_REFUSED;
    /* A source that does not answer, or does not know the move, cannot refuse: the ending finds out. */
    if (!is_refused && task)
        task_fail(task, &cancelling->why, "");
    struct err none = {0};
    cancelling->done(is_refused ? err : &none, cancelling->user);
    g_free(cancelling);
}

static void ask_source(struct task *task, const struct err *why, task_cancelled done, void *user)
{
    struct cancelling *cancelling = g_new0(struct cancelling, 1);
    cancelling->manager = task->manager;
    (void)g_strlcpy(cancelling->task, task->id, sizeof cancelling->task);
    cancelling->why = *why;
    cancelling->done = done;
    cancelling->user = user;
    cancelling->timer = g_timeout_add(CANCEL_PATIENCE_MS, source_is_slow, cancelling);
    struct host *host = inventory_find_host(task->manager->inventory, task->source_host);
    g_autofree char *path = g_strdup_printf("/v1/moves/%s/cancel", task->id);
    if (host)
        agent_call(host, &(struct http_call){"POST", path, model_error_to_json(why), CANCEL_TIMEOUT_S},
                   source_asked, cancelling);
    else
        source_asked(NULL, NULL, cancelling);
}

void task_cancel(struct task *task, const char *who, task_cancelled done, void *user)
{
    struct err err = {0};
    enum cancel_rule rule = table[task->phase].cancel;
    if (task->is_ending) {
        done(&err, user);
        return;
    }
    if (rule == CANCEL_NEVER) {
        err_set(&err, ERR_REFUSED, "too-late-to-cancel", "it is too late to cancel task %s", task->id);
        err_cause(&err, "VM '%s' already runs on host '%s'", task->vm_name, task->destination_host);
        err_fix(&err, "move it back with another migration");
        (void)err_arg(&err, "task", "%s", task->id);
        (void)err_arg(&err, "vm", "%s", task->vm_name);
        (void)err_arg(&err, "host", "%s", task->destination_host);
        done(&err, user);
        return;
    }
    struct err why = {0};
    err_set(&why, ERR_CANCELLED, "cancelled", "the migration of VM '%s' was cancelled", task->vm_name);
    err_cause(&why, "'%s' asked for it", who);
    (void)err_arg(&why, "vm", "%s", task->vm_name);
    (void)err_arg(&why, "user", "%s", who);
    task_note(task, "cancel asked", "in phase %s", move_phase_name(task->phase));
    task_tell(task, EVENT_MIGRATION_CANCEL_REQUESTED, who, "%s", move_phase_name(task->phase));
    if (rule == CANCEL_ASKS) {
        ask_source(task, &why, done, user);
        return;
    }
    task_fail(task, &why, "manager");
    done(&err, user);
}

/* ---- a manager that was restarted ---- */

void task_resume(struct task *task)
{
    task->phase_start_ns = task->progress_ns = clock_now_ns();
    log_info("task %s goes on in phase %s", task->id, move_phase_name(task->phase));
    enter(task);
}
