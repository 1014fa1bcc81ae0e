/* SPDX-License-Identifier: Apache-2.0 */
/* Calls and timers of a task. An answer finds its task by id, and only if the task has not moved on. */
#include <string.h>

#include "base/clock.h"
#include "manager/agent_client.h"
#include "manager/migrate.h"

/* An agent answers in milliseconds what needs no work. */
#define SLOW_MS 700
#define TRY_AGAIN_MS 500

struct pending {
    struct manager *manager;
    char task[MODEL_UUID_SIZE];
    unsigned serial;
    bool is_source;
    bool is_prepare;
    bool is_shown; /* the task waits for this call's answer, and says so */
    const char *to;
    guint slow_timer;
    int64_t start_ms; /* wall clock */
    task_done done;
    task_side_done side_done;
    void (*call)(struct task *task);
    void (*side_call)(struct task *task, struct task_side *side);
};

static struct pending *pending_new(struct task *task, const struct task_side *side, unsigned serial)
{
    struct pending *pending = g_new0(struct pending, 1);
    pending->manager = task->manager;
    (void)g_strlcpy(pending->task, task->id, sizeof pending->task);
    pending->serial = serial;
    pending->is_source = side == &task->source;
    return pending;
}

const char *task_side_host(const struct task *task, const struct task_side *side)
{
    return side == &task->source ? task->source_host : task->destination_host;
}

char *task_move_path(const struct task *task, const char *suffix)
{
    return g_strdup_printf("moves/%s%s", task->id, suffix);
}

/* The task, if the answer still means something to it. */
static struct task *find_current(const struct pending *pending, struct task_side **ret_side)
{
    struct task *task = tasks_find(pending->manager, pending->task);
    if (!task)
        return NULL;
    *ret_side = pending->is_source ? &task->source : &task->destination;
    bool is_sides = pending->side_done || pending->side_call;
    return pending->serial == (is_sides ? (*ret_side)->serial : task->serial) ? task : NULL;
}

static gboolean is_slow(void *user)
{
    struct pending *pending = user;
    struct task_side *side;
    struct task *task = find_current(pending, &side);
    pending->slow_timer = 0;
    if (!task)
        return G_SOURCE_REMOVE;
    if (pending->side_done) {
        migrate_note_silence(task, side, pending->start_ms);
    } else if (pending->to) {
        pending->is_shown = true;
        task_wait_since(task, pending->start_ms, "host '%s' to %s", task_side_host(task, side), pending->to);
    }
    return G_SOURCE_REMOVE;
}

static void answered(JsonObject *object, const struct err *err, void *user)
{
    g_autofree struct pending *pending = user;
    struct task *task = tasks_find(pending->manager, pending->task);
    if (pending->slow_timer)
        g_source_remove(pending->slow_timer);
    if (!task)
        return;
    struct task_side *side = pending->is_source ? &task->source : &task->destination;
    if (pending->is_prepare)
        side->is_preparing = false;
    if (pending->is_shown && !err_is_set(err) && task->serial == pending->serial)
        task_wait_over(task);
    if (pending->is_prepare && task->is_ending)
        migrate_end_prepared(task, side);
    else if (pending->done && task->serial == pending->serial)
        pending->done(task, object, err);
    else if (pending->side_done && side->serial == pending->serial)
        pending->side_done(task, side, object, err);
}

static gboolean host_is_gone(void *user)
{
    struct pending *pending = user;
    struct err err = {0};
    err_set(&err, ERR_NOT_FOUND, "host-not-found", "the host was removed");
    answered(NULL, &err, pending);
    return G_SOURCE_REMOVE;
}

static void start(struct task *task, const struct task_call_spec *call, struct pending *pending)
{
    struct host *host = inventory_find_host(task->manager->inventory, task_side_host(task, call->side));
    g_autofree char *path = g_strconcat("/v1/", call->path, NULL);
    pending->to = call->to;
    pending->start_ms = clock_wall_ms();
    pending->slow_timer = g_timeout_add(call->patience_ms ? call->patience_ms : SLOW_MS, is_slow, pending);
    if (host) {
        agent_call(host, &(struct http_call){call->method, path, call->body, call->timeout_s}, answered,
                   pending);
        return;
    }
    if (call->body)
        json_object_unref(call->body);
    (void)g_idle_add(host_is_gone, pending);
}

void task_call(struct task *task, const struct task_call_spec *call, task_done done)
{
    struct pending *pending = pending_new(task, call->side, task->serial);
    pending->done = done;
    start(task, call, pending);
}

void task_prepare_call(struct task *task, const struct task_call_spec *call, task_done done)
{
    struct pending *pending = pending_new(task, call->side, task->serial);
    pending->done = done;
    pending->is_prepare = true;
    call->side->is_preparing = true;
    start(task, call, pending);
}

void task_side_call(struct task *task, const struct task_call_spec *call, task_side_done done)
{
    struct pending *pending = pending_new(task, call->side, call->side->serial);
    pending->side_done = done;
    start(task, call, pending);
}

bool task_try_again(struct task *task, struct task_side *side, const char *to,
                    void (*again)(struct task *task), struct err *err)
{
    const char *host = task_side_host(task, side);
    unsigned limit_s = task_deadline_s(task);
    if (!agent_call_may_repeat(err))
        return false;
    if (clock_now_ns() - task->phase_start_ns < limit_s * NS_PER_S) {
        task_wait_since(task, 0, "host '%s' to %s", host, to);
        task_after(task, TRY_AGAIN_MS, again);
        return true;
    }
    struct err last = *err;
    err_set(err, ERR_TIMEOUT, "no-answer", "no answer of host '%s' for %u s: it was asked to %s", host,
            limit_s, to);
    err_cause(err, "%s%s%s", last.message, last.cause[0] ? ": " : "", last.cause);
    err_fix(err, "see that the agent on '%s' runs and that the manager reaches it", host);
    (void)err_arg(err, "host", "%s", host);
    (void)err_arg(err, "waited_s", "%u", limit_s);
    (void)err_arg(err, "request", "%s", to);
    return false;
}

static gboolean expired(void *user)
{
    g_autofree struct pending *pending = user;
    struct task_side *side;
    struct task *task = find_current(pending, &side);
    if (task && pending->call)
        pending->call(task);
    else if (task)
        pending->side_call(task, side);
    return G_SOURCE_REMOVE;
}

void task_after(struct task *task, unsigned ms, void (*call)(struct task *task))
{
    struct pending *pending = pending_new(task, NULL, task->serial);
    pending->call = call;
    (void)g_timeout_add(ms, expired, pending);
}

void task_side_after(struct task *task, struct task_side *side, unsigned ms,
                     void (*call)(struct task *task, struct task_side *side))
{
    struct pending *pending = pending_new(task, side, side->serial);
    pending->side_call = call;
    (void)g_timeout_add(ms, expired, pending);
}
