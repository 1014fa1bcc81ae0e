/* SPDX-License-Identifier: Apache-2.0 */
/* Calls and timers of a task. An answer finds its task by id, and only if the task has not moved on. */
#include <string.h>

#include "manager/agent_client.h"
#include "manager/migrate.h"

struct pending {
    struct manager *manager;
    char task[MODEL_UUID_SIZE];
    unsigned serial;
    bool is_source;
    bool is_prepare;
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

static void answered(JsonObject *object, const struct err *err, void *user)
{
    g_autofree struct pending *pending = user;
    struct task *task = tasks_find(pending->manager, pending->task);
    if (!task)
        return;
    struct task_side *side = pending->is_source ? &task->source : &task->destination;
    if (pending->is_prepare)
        side->is_preparing = false;
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

static gboolean expired(void *user)
{
    g_autofree struct pending *pending = user;
    struct task *task = tasks_find(pending->manager, pending->task);
    if (!task)
        return G_SOURCE_REMOVE;
    struct task_side *side = pending->is_source ? &task->source : &task->destination;
    if (pending->call && task->serial == pending->serial)
        pending->call(task);
    else if (pending->side_call && side->serial == pending->serial)
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
