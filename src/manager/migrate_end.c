/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ending of a task that failed or is cancelled. Each side goes through its steps by itself: look, cancel,
 * wait, forget, clear. The source decides: the task is final only when it has the VM again, and a source that
 * has given the VM away turns the ending into a success. A destination without COMMIT never runs, so one that
 * is silent does not hold the task up; it is told later (orphans.c).
 */
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "manager/migrate.h"

#define CALL_TIMEOUT_S 3
#define RETRY_MS 300
#define TICK_MS 50
/* How long a settled source waits for a destination that says nothing; for one that answers and does not come
 * to an end; and for that one when an operator waits: he wants to know that his VM stays, and what is left
 * there is cleared afterwards (orphans.c). */
#define SILENCE_NS (400 * NS_PER_MS)
#define PATIENCE_NS (10 * NS_PER_S)
#define CANCEL_PATIENCE_NS (600 * NS_PER_MS)
/* An ending that takes longer says whom it waits for. */
#define SLOW_NS NS_PER_S
/* A side that is silent and may know why the other was lost: its agent may be on its way back. */
#define RETURN_NS (5 * NS_PER_S)
/* How long a side may take to come up with its own reason when all we know is that it was lost. */
#define REASON_NS (500 * NS_PER_MS)
#define REASON_RETRY_MS 50

static void step(struct task *task, struct task_side *side);
static void settle(struct task *task);

/* That the other side was lost, and of a copy of a disk that its storage was; why, that side knows. */
static bool is_symptom(const struct err *err)
{
    static const char *const ids[] = {"peer-lost",
                                      "connection-lost",
                                      "stream-ended",
                                      "control-peer-lost",
                                      "move-taken-back",
                                      "disk-copy-failed",
                                      NULL};
    return g_strv_contains(ids, err->id);
}

/* The side that knows the reason often is not the one that told us first. */
static int weight(const struct err *err)
{
    static const char *const vague[] = {"agent-restarted", "connect-failed", "ticket-refused", NULL};
    if (!err_is_set(err))
        return 0;
    if (is_symptom(err))
        return 1;
    /* The destination heard it from the source's job, whose agent names the disk. */
    if (!strcmp(err->id, "disk-copy-stalled") && !err_arg_find(err, "vm"))
        return 1;
    /* A job only sees that QEMU is gone; its agent, which names the VM, knows what became of it. */
    if (!strcmp(err->id, "qemu-died") && !err_arg_find(err, "vm"))
        return 2;
    return err->code == ERR_TIMEOUT || g_strv_contains(vague, err->id) ? 2 : 3;
}

static void consider_error(struct task *task, const struct task_side *side)
{
    const struct err *theirs = &side->status.error;
    if (theirs->code == ERR_CANCELLED || weight(theirs) <= weight(&task->error))
        return;
    task->error = *theirs;
    err_place(&task->error, move_phase_name(task->phase), side->label);
    log_error(&task->error, "task %s: the reason", task->id);
}

static void go_to(struct task *task, struct task_side *side, enum end_step next)
{
    side->serial++;
    side->is_watched = false;
    side->end = next;
    step(task, side);
}

/* The agent keeps nothing of the move: the cache must not say otherwise until the next poll. */
static void cleared(struct task *task, struct task_side *side)
{
    struct host *host = inventory_find_host(task->manager->inventory, task_side_host(task, side));
    if (host)
        inventory_move_over(host, task->id);
    go_to(task, side, END_CLEAR);
}

/* What a status means, in every step. */
static void judge(struct task *task, struct task_side *side, enum end_step otherwise)
{
    bool is_source = side == &task->source;
    if (side->is_missing) {
        cleared(task, side);
    } else if (side->status.state == MOVE_FAILED) {
        consider_error(task, side);
        go_to(task, side, END_FORGET);
    } else if (side->status.state == MOVE_DONE && is_source) {
        task_rescue(task);
    } else if (side->status.state == MOVE_DONE) {
        go_to(task, side, END_CLEAR);
    } else {
        if (is_source && side->status.state == MOVE_GIVEN)
            migrate_relay(task);
        if (side->end != otherwise)
            go_to(task, side, otherwise);
    }
}

static void looked(struct task *task, struct task_side *side, JsonObject *object, const struct err *err)
{
    if (!migrate_note_status(task, side, object, err))
        task_side_after(task, side, RETRY_MS, step);
    else if (!side->is_missing && side->status.state < MOVE_GIVEN && is_symptom(&task->error) &&
             clock_now_ns() - task->end_start_ns < REASON_NS)
        task_side_after(task, side, REASON_RETRY_MS, step);
    else
        judge(task, side, END_CANCEL);
}

static void told(struct task *task, struct task_side *side, JsonObject *object, const struct err *err)
{
    (void)object;
    /* Refused: it is given, or over already; its status says which. */
    if (!err_is_set(err) || err->code == ERR_REFUSED)
        go_to(task, side, END_WAIT);
    else if (err->code == ERR_NOT_FOUND)
        cleared(task, side);
    else
        task_side_after(task, side, RETRY_MS, step);
}

static void waited(struct task *task, struct task_side *side)
{
    if (!side->silent_since_ms)
        judge(task, side, END_WAIT);
}

static void forgot(struct task *task, struct task_side *side, JsonObject *object, const struct err *err)
{
    (void)object;
    if (!err_is_set(err) || err->code == ERR_NOT_FOUND)
        cleared(task, side);
    else
        task_side_after(task, side, RETRY_MS, step);
}

static void step(struct task *task, struct task_side *side)
{
    g_autofree char *move = task_move_path(task, "");
    g_autofree char *cancel = task_move_path(task, "/cancel");
    struct task_call_spec look = {side, "GET", move, NULL, CALL_TIMEOUT_S};
    struct task_call_spec forget = {side, "DELETE", move, NULL, CALL_TIMEOUT_S};
    struct task_call_spec tell = {side, "POST", cancel, NULL, CALL_TIMEOUT_S};
    switch (side->end) {
    case END_LOOK:
        task_side_call(task, &look, looked);
        return;
    case END_CANCEL:
        tell.body = model_error_to_json(&task->error);
        task_side_call(task, &tell, told);
        return;
    case END_WAIT:
        migrate_watch(task, side, waited);
        return;
    case END_FORGET:
        task_side_call(task, &forget, forgot);
        return;
    case END_CLEAR:
        settle(task);
        return;
    }
}

void migrate_end_prepared(struct task *task, struct task_side *side)
{
    go_to(task, side, END_CANCEL);
}

struct looking {
    struct manager *manager;
    char task[MODEL_UUID_SIZE];
    unsigned serial;
};

/* The source does not know the move: it never began there, or the agent was restarted. Its list of VMs is
 * drawn from its journals: if the VM is not there, it was given away. */
static void source_listed(const struct err *err, void *user)
{
    g_autofree struct looking *looking = user;
    struct task *task = tasks_find(looking->manager, looking->task);
    if (!task || task->serial != looking->serial)
        return;
    struct host *source = inventory_find_host(task->manager->inventory, task->source_host);
    if (err_is_set(err) || !source)
        task_after(task, RETRY_MS, settle);
    else if (g_hash_table_contains(source->vms, task->vm_uuid))
        task_finish_failed(task);
    else
        task_rescue(task);
}

static void look_who_has_it(struct task *task)
{
    struct host *source = inventory_find_host(task->manager->inventory, task->source_host);
    if (!source) {
        task_finish_failed(task);
        return;
    }
    struct looking *looking = g_new0(struct looking, 1);
    looking->manager = task->manager;
    (void)g_strlcpy(looking->task, task->id, sizeof looking->task);
    looking->serial = ++task->serial;
    inventory_refresh(source, source_listed, looking);
}

static bool destination_is_done(const struct task *task)
{
    const struct task_side *destination = &task->destination;
    uint64_t waited_ns = clock_now_ns() - task->end_start_ns;
    uint64_t patience_ns = task->error.code == ERR_CANCELLED ? CANCEL_PATIENCE_NS : PATIENCE_NS;
    if (destination->end == END_CLEAR && !destination->is_preparing)
        return true;
    uint64_t silence_ns = is_symptom(&task->error) ? RETURN_NS : SILENCE_NS;
    return waited_ns > (destination->has_answered ? patience_ns : silence_ns);
}

/* The other side was lost, and has nothing to say about it. */
static void name_the_silent(struct task *task)
{
    struct err *err = &task->error;
    if (!is_symptom(err) || task->destination.has_answered || err->cause[0])
        return;
    err_cause(err, "host '%s' does not answer", task->destination_host);
    (void)err_arg(err, "silent_host", "%s", task->destination_host);
    if (!err->fix[0])
        err_fix(err, "see that '%s' runs and is reached by the manager and by host '%s'",
                task->destination_host, task->source_host);
}

/*
 * The source is silent, and yet it is certain who has the VM: the destination runs it; or the destination has
 * journaled that it never will; or no start has ever been asked for (a database may be old and not know of
 * it), and a source that was not started never gives its VM away. The source comes to its end by itself, and
 * is told when it is back (orphans.c).
 */
static void settle_without_source(struct task *task)
{
    const struct task_side *destination = &task->destination;
    bool is_silent = task->source.silent_since_ms && clock_now_ns() - task->end_start_ns > PATIENCE_NS;
    bool is_known = destination->is_known && !destination->is_preparing;
    if (!is_silent || task->source.is_preparing)
        return;
    if (is_known && destination->status.state == MOVE_DONE)
        task_rescue(task);
    else if ((is_known && destination->status.state == MOVE_FAILED) ||
             (task->phase < PHASE_COPY && !task->is_loaded))
        task_finish_failed(task);
}

static void settle(struct task *task)
{
    const struct task_side *source = &task->source;
    if (source->end != END_CLEAR && !source->is_preparing) {
        settle_without_source(task);
        return;
    }
    if (source->end != END_CLEAR || source->is_preparing || !destination_is_done(task))
        return;
    name_the_silent(task);
    if (source->is_missing && task->phase >= PHASE_COPY)
        look_who_has_it(task);
    else
        task_finish_failed(task);
}

/* Both sides are asked at once; the source matters more. */
static void say_wait(struct task *task)
{
    const struct task_side *source = &task->source;
    const struct task_side *destination = &task->destination;
    uint64_t ending_ns = clock_now_ns() - task->end_start_ns;
    int64_t since_ms = clock_wall_ms() - (int64_t)(ending_ns / NS_PER_MS);
    if (source->end != END_CLEAR && source->silent_since_ms)
        task_wait_since(task, source->silent_since_ms,
                        "host '%s' to answer: it alone knows whether it keeps VM '%s'", task->source_host,
                        task->vm_name);
    else if (source->end != END_CLEAR && source->status.state == MOVE_GIVEN)
        task_wait_since(task, 0, "host '%s' to say whether it runs the VM", task->destination_host);
    else if (destination->end != END_CLEAR && destination->silent_since_ms)
        task_wait_since(task, destination->silent_since_ms, "host '%s' to end its part of the move",
                        task->destination_host);
    else if (ending_ns < SLOW_NS)
        task_wait_over(task);
    else if (source->end == END_WAIT)
        task_wait_since(task, since_ms, "host '%s' to let VM '%s' run on", task->source_host, task->vm_name);
    else if (source->end != END_CLEAR)
        task_wait_since(task, since_ms, "host '%s' to end its part of the move", task->source_host);
    else if (destination->end != END_CLEAR)
        task_wait_since(task, since_ms, "host '%s' to end its part of the move", task->destination_host);
    else
        task_wait_over(task);
}

static void tick(struct task *task)
{
    task_after(task, TICK_MS, tick);
    say_wait(task);
    settle(task);
}

void migrate_enter_end(struct task *task)
{
    task->end_start_ns = clock_now_ns();
    task->given_ns = 0;
    task->is_relaying = false;
    task->source.has_answered = task->destination.has_answered = false;
    task_after(task, TICK_MS, tick);
    /* Before its phase the destination was asked for nothing that it would keep. */
    bool has_shell = task->phase >= PHASE_DESTINATION_SHELL && !task_is_here(task);
    go_to(task, &task->source, END_LOOK);
    go_to(task, &task->destination, has_shell ? END_LOOK : END_CLEAR);
}
