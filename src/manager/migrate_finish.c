/* SPDX-License-Identifier: Apache-2.0 */
/* Phases 8 and 9: ownership has moved, so nothing here can fail the task; what a silent host leaves undone,
 * orphans.c does when it is back. */
#include "base/clock.h"
#include "base/log.h"
#include "manager/migrate.h"

#define CALL_TIMEOUT_S 5
#define RETRY_MS 200

static bool may_repeat(const struct task *task)
{
    return clock_now_ns() - task->phase_start_ns < task_deadline_s(task) * NS_PER_S;
}

static void forget_destination(struct task *task);

/* What it saw at the end; the source told us of the success first. */
static void destination_told(struct task *task, JsonObject *object, const struct err *err)
{
    (void)migrate_note_status(task, &task->destination, object, err);
    forget_destination(task);
}

static void ask_destination(struct task *task)
{
    g_autofree char *path = task_move_path(task, "");
    struct task_call_spec call = {
        &task->destination, "GET", path, NULL, CALL_TIMEOUT_S, .to = "say how the move ended"};
    task_call(task, &call, destination_told);
}

static void destination_forgot(struct task *task, JsonObject *object, const struct err *err)
{
    (void)object;
    bool is_done = !err_is_set(err) || err->code == ERR_NOT_FOUND;
    if (!is_done && may_repeat(task)) {
        task_after(task, RETRY_MS, forget_destination);
        return;
    }
    struct host *host = inventory_find_host(task->manager->inventory, task->destination_host);
    if (!is_done)
        log_error(err, "task %s: host %s keeps its part of the move for now", task->id,
                  task->destination_host);
    else if (host)
        inventory_move_over(host, task->id);
    migrate_guest_after(task);
}

static void forget_destination(struct task *task)
{
    g_autofree char *path = task_move_path(task, "");
    struct task_call_spec call = {&task->destination,     "DELETE", path, NULL, CALL_TIMEOUT_S,
                                  .to = "forget the move"};
    task_call(task, &call, destination_forgot);
}

static void ask_source(struct task *task);

static void verdict_told(struct task *task, JsonObject *object, const struct err *err)
{
    (void)object;
    if (err_is_set(err))
        log_error(err, "task %s: the verdict did not reach host %s", task->id, task->source_host);
    task_after(task, RETRY_MS, ask_source);
}

static void verdict_known(struct task *task, JsonObject *object, const struct err *err)
{
    const struct move_status *status = &task->destination.status;
    if (!migrate_note_status(task, &task->destination, object, err) || status->verdict != VERDICT_RUNNING) {
        task_after(task, RETRY_MS, ask_source);
        return;
    }
    char secret[MOVE_SECRET_SIZE * 2 + 1];
    model_hex(status->verdict_secret, MOVE_SECRET_SIZE, secret);
    JsonObject *body = json_object_new();
    json_object_set_string_member(body, "verdict", move_verdict_name(status->verdict));
    json_object_set_string_member(body, "secret", secret);
    log_info("task %s: relays verdict running to host %s", task->id, task->source_host);
    g_autofree char *path = task_move_path(task, "/verdict");
    struct task_call_spec call = {&task->source, "POST",         path,
                                  body,          CALL_TIMEOUT_S, .to = "take the verdict of the destination"};
    task_call(task, &call, verdict_told);
}

/* The source is not done: it was away when the destination said that it runs the VM, or it still tidies up.
 */
static void tell_verdict(struct task *task)
{
    g_autofree char *path = task_move_path(task, "");
    struct task_call_spec call = {
        &task->destination, "GET", path, NULL, CALL_TIMEOUT_S, .to = "say how the move stands"};
    task_call(task, &call, verdict_known);
}

static void source_forgot(struct task *task, JsonObject *object, const struct err *err)
{
    (void)object;
    bool is_done = !err_is_set(err) || err->code == ERR_NOT_FOUND;
    if (!is_done && may_repeat(task)) {
        task_after(task, RETRY_MS, ask_source);
        return;
    }
    if (!is_done)
        log_error(err, "task %s: host %s keeps its part of the move for now", task->id, task->source_host);
    struct host *host = inventory_find_host(task->manager->inventory, task->source_host);
    if (!task_is_here(task)) {
        ask_destination(task);
        return;
    }
    if (is_done && host)
        inventory_move_over(host, task->id);
    task_set_state(task, TASK_RUNNING, PHASE_COMPLETE);
}

static void forget_source(struct task *task)
{
    g_autofree char *path = task_move_path(task, "");
    struct task_call_spec call = {&task->source, "DELETE",       path,
                                  NULL,          CALL_TIMEOUT_S, .to = "forget the move"};
    task_call(task, &call, source_forgot);
}

/* It alone knows how long the guest stood, and may have been too busy to say so when the destination did. */
static void source_told(struct task *task, JsonObject *object, const struct err *err)
{
    const struct task_side *source = &task->source;
    bool is_answer = migrate_note_status(task, &task->source, object, err);
    if (is_answer && !source->is_missing && source->status.state < MOVE_DONE && may_repeat(task))
        tell_verdict(task);
    else
        forget_source(task);
}

static void ask_source(struct task *task)
{
    g_autofree char *path = task_move_path(task, "");
    struct task_call_spec call = {&task->source, "GET",          path,
                                  NULL,          CALL_TIMEOUT_S, .to = "say how the move ended"};
    task_call(task, &call, source_told);
}

static void confirm(struct task *task);

/* Changes the host of the VM in the cache, from what the destination itself says. */
static void confirmed(struct task *task, JsonObject *object, const struct err *call_err)
{
    struct inventory *inventory = task->manager->inventory;
    struct host *source = inventory_find_host(inventory, task->source_host);
    struct host *destination = inventory_find_host(inventory, task->destination_host);
    struct err err = *call_err;
    struct vm_status vm = {0};
    if (!err_is_set(&err) && !object) {
        err_set(&err, ERR_CORRUPT, "agent-answer", "host %s sent no VM", task->destination_host);
        (void)err_arg(&err, "host", "%s", task->destination_host);
    }
    bool is_listed = !err_is_set(&err) && !vm_status_from_json(object, &vm, &err);
    if ((!is_listed || vm.state == VM_INCOMING) && may_repeat(task)) {
        task_after(task, RETRY_MS, confirm);
        return;
    }
    if (is_listed && destination)
        inventory_note_vm(destination, &vm);
    else if (err_is_set(&err))
        log_error(&err, "task %s: host %s does not list the VM yet", task->id, task->destination_host);
    if (source && !task_is_here(task))
        inventory_forget_vm(source, task->vm_uuid);
    ask_source(task);
}

static void confirm(struct task *task)
{
    g_autofree char *path = g_strdup_printf("vms/%s", task->vm_uuid);
    struct task_call_spec call = {&task->destination, "GET", path, NULL, CALL_TIMEOUT_S, .to = "list the VM"};
    task_call(task, &call, confirmed);
}

void migrate_enter_inventory(struct task *task)
{
    /* The watches end. */
    task->source.serial++;
    task->destination.serial++;
    confirm(task);
}

void migrate_enter_complete(struct task *task)
{
    task_set_state(task, TASK_SUCCESS, PHASE_COMPLETE);
}
