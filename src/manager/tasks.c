/* SPDX-License-Identifier: Apache-2.0 */
/* The collection of tasks. */
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/task_log.h"
#include "manager/admit.h"
#include "manager/tasks_private.h"

struct task *tasks_find(struct manager *manager, const char *id)
{
    return manager->tasks ? g_hash_table_lookup(manager->tasks->open, id) : NULL;
}

static int compare_numbers(const void *left, const void *right)
{
    const struct task *const *a = left;
    const struct task *const *b = right;
    return (*a)->number < (*b)->number ? -1 : 1;
}

void tasks_each(struct manager *manager, void (*call)(struct task *task, void *user), void *user)
{
    g_autoptr(GPtrArray) open = g_ptr_array_new();
    GHashTableIter iter;
    void *value;
    g_hash_table_iter_init(&iter, manager->tasks->open);
    while (g_hash_table_iter_next(&iter, NULL, &value))
        g_ptr_array_add(open, value);
    g_ptr_array_sort(open, compare_numbers);
    g_autoptr(GPtrArray) ids = g_ptr_array_new_with_free_func(g_free);
    for (guint i = 0; i < open->len; i++)
        g_ptr_array_add(ids, g_strdup(((struct task *)open->pdata[i])->id));
    /* `call` may end tasks. */
    for (guint i = 0; i < ids->len; i++) {
        struct task *task = tasks_find(manager, ids->pdata[i]);
        if (task)
            call(task, user);
    }
}

struct task *tasks_find_by_vm(struct manager *manager, const char *uuid)
{
    GHashTableIter iter;
    void *value;
    g_hash_table_iter_init(&iter, manager->tasks->open);
    while (g_hash_table_iter_next(&iter, NULL, &value))
        if (!strcmp(((struct task *)value)->vm_uuid, uuid))
            return value;
    return NULL;
}

static struct task *task_new(struct manager *manager)
{
    struct task *task = g_new0(struct task, 1);
    task->manager = manager;
    task->source.label = "source";
    task->destination.label = "destination";
    return task;
}

static void task_free(void *data)
{
    struct task *task = data;
    explicit_bzero(task->spec.key, sizeof task->spec.key);
    g_clear_pointer(&task->specification, json_object_unref);
    g_clear_pointer(&task->warnings, json_array_unref);
    g_free(task);
}

struct asking {
    struct manager *manager;
    char task[MODEL_UUID_SIZE];
};

/* The cache may have been a moment behind when the task was made. */
static void note_epoch(const struct err *call_err, void *user)
{
    g_autofree struct asking *asking = user;
    struct task *task = tasks_find(asking->manager, asking->task);
    struct host *source = task ? inventory_find_host(task->manager->inventory, task->source_host) : NULL;
    const struct vm_status *vm = source ? g_hash_table_lookup(source->vms, task->vm_uuid) : NULL;
    struct err err = {0};
    if (err_is_set(call_err) || !vm || task->phase >= PHASE_SOURCE_CHECK || task->vm_epoch == vm->epoch)
        return;
    task->vm_epoch = vm->epoch;
    if (task_save(task, &err))
        log_error(&err, "task %s: the epoch of VM '%s' was not stored", task->id, task->vm_name);
}

static void ask_epoch(struct manager *manager, const char *id, const char *source_host)
{
    struct host *source = inventory_find_host(manager->inventory, source_host);
    if (!source)
        return;
    struct asking *asking = g_new0(struct asking, 1);
    asking->manager = manager;
    (void)g_strlcpy(asking->task, id, sizeof asking->task);
    inventory_refresh(source, note_epoch, asking);
}

int tasks_create(struct manager *manager, const struct task_request *request, char ret_id[MODEL_UUID_SIZE],
                 struct err *err)
{
    uint64_t number;
    if (admit_check(manager, request->vm, err) || db_task_next_number(manager->db, &number, err))
        return -1;
    struct task *task = task_new(manager);
    model_uuid_new(task->id);
    task->number = number;
    task->options = request->options;
    task->vm_epoch = request->vm->epoch;
    task->created_ms = clock_wall_ms();
    (void)g_strlcpy(task->vm_uuid, request->vm->spec.uuid, sizeof task->vm_uuid);
    (void)g_strlcpy(task->vm_name, request->vm->spec.name, sizeof task->vm_name);
    (void)g_strlcpy(task->source_host, request->vm->host, sizeof task->source_host);
    (void)g_strlcpy(task->destination_host, request->destination, sizeof task->destination_host);
    (void)g_strlcpy(task->client_key, request->client_key ? request->client_key : "",
                    sizeof task->client_key);
    (void)g_strlcpy(task->user, request->user ? request->user : "", sizeof task->user);
    (void)g_strlcpy(ret_id, task->id, MODEL_UUID_SIZE);
    if (task_is_here(task))
        task_note(task, "asked", "by %s: disks of %s on %s to datastore %s", task->user, task->vm_name,
                  task->source_host, task->options.datastore);
    else
        task_note(task, "asked", "by %s: %s from %s to %s", task->user, task->vm_name, task->source_host,
                  task->destination_host);
    /* Not accepted unless it is stored. */
    if (task_save(task, err)) {
        task_free(task);
        return -1;
    }
    g_hash_table_insert(manager->tasks->open, task->id, task);
    task_log_open(task->id, task->vm_uuid, "manager");
    ask_epoch(manager, ret_id, task->source_host);
    task_set_state(task, TASK_QUEUED, PHASE_REQUEST);
    return 0;
}

static void load(const struct db_task *row, void *user)
{
    struct manager *manager = user;
    g_autoptr(JsonObject) document = NULL;
    g_autoptr(JsonObject) internals = NULL;
    struct task *task = task_new(manager);
    struct err err = {0};
    if (model_parse(row->document, -1, &document, &err) ||
        model_parse(row->internals, -1, &internals, &err) ||
        task_from_json(document, internals, task, &err)) {
        log_error(&err, "the stored task %s cannot be read and is left alone", row->id);
        task_free(task);
        return;
    }
    task->number = row->number;
    task->is_loaded = true;
    (void)g_strlcpy(task->client_key, row->client_key ? row->client_key : "", sizeof task->client_key);
    g_hash_table_insert(manager->tasks->open, task->id, task);
    task_log_open(task->id, task->vm_uuid, "manager");
}

static void resume(struct task *task, void *user)
{
    (void)user;
    if (task->state == TASK_RUNNING)
        task_resume(task);
}

/* What a backup says of its moves is old: they may be over since, and one that waited must not begin now.
 * What a host still holds of them is taken back as of any task that is not open. */
static void end_restored(struct task *task, void *user)
{
    (void)user;
    bool began = task->state == TASK_RUNNING;
    err_set(&task->error, began ? ERR_IN_DOUBT : ERR_RETRY, "manager-restored",
            "the manager was restored from a backup while VM '%s' %s", task->vm_name,
            began ? "migrated" : "waited for its migration");
    (void)err_arg(&task->error, "what", "%s", began ? "migrated" : "waited for its migration");
    (void)err_arg(&task->error, "vm", "%s", task->vm_name);
    if (began)
        err_cause(&task->error, "what became of the migration since the backup is not known");
    err_fix(&task->error, "see where the VM runs ('godwit vm show %s'), and ask again", task->vm_name);
    err_place(&task->error, move_phase_name(task->phase), "manager");
    task->is_ending = true;
    task_finish_failed(task);
}

/* Not from inside tasks_open: hosts have not been asked yet, and a phase may be over at once. */
static gboolean resume_all(void *user)
{
    struct manager *manager = user;
    struct err err = {0};
    int restored = db_is_restored(manager->db, &err);
    tasks_each(manager, restored ? end_restored : resume, NULL);
    if (restored < 0 || (restored && db_restored_done(manager->db, &err)))
        log_error(&err, "tasks end as after a restored backup");
    admit_run(manager);
    return G_SOURCE_REMOVE;
}

int tasks_open(struct manager *manager, struct err *err)
{
    struct tasks *tasks = g_new0(struct tasks, 1);
    tasks->open = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, task_free);
    manager->tasks = tasks;
    if (db_task_list_open(manager->db, load, manager, err))
        return -1;
    (void)g_idle_add(resume_all, manager);
    return 0;
}

void tasks_free(struct tasks *tasks)
{
    if (!tasks)
        return;
    g_hash_table_unref(tasks->open);
    g_free(tasks);
}

static void end_in_doubt(struct task *task, void *user)
{
    const char *host = user;
    if (strcmp(task->source_host, host) != 0 && strcmp(task->destination_host, host) != 0)
        return;
    err_set(&task->error, ERR_IN_DOUBT, "host-removed", "host '%s' was removed while VM '%s' migrated", host,
            task->vm_name);
    err_cause(&task->error, "it did not answer, so where the VM runs is not known to the manager");
    err_fix(&task->error, "look at the hosts themselves; the VM shows again when they are connected");
    (void)err_arg(&task->error, "host", "%s", host);
    (void)err_arg(&task->error, "vm", "%s", task->vm_name);
    err_place(&task->error, move_phase_name(task->phase), "manager");
    task->is_ending = true;
    task_finish_failed(task);
}

void tasks_host_removed(struct manager *manager, const char *host)
{
    tasks_each(manager, end_in_doubt, (void *)host);
}

void tasks_settled(struct manager *manager, const char *uuid, const char *owner)
{
    struct task *task = tasks_find_by_vm(manager, uuid);
    if (!task)
        return;
    err_set(&task->error, ERR_IN_DOUBT, "settled-by-operator", "the operator gave VM '%s' to host '%s'",
            task->vm_name, owner);
    err_cause(&task->error, "the migration could not find out which host has it");
    err_fix(&task->error, "see there how it is ('godwit vm show %s'), and start or migrate it",
            task->vm_name);
    (void)err_arg(&task->error, "vm", "%s", task->vm_name);
    (void)err_arg(&task->error, "host", "%s", owner);
    err_place(&task->error, move_phase_name(task->phase), "manager");
    task->is_ending = true;
    task_finish_failed(task);
}

struct reading {
    JsonObject *document;
    struct err err;
};

static void read_document(const struct db_task *row, void *user)
{
    struct reading *reading = user;
    g_autofree char *outer_text = g_strdup_printf("{\"" TASK_TIMELINE "\":%s}", row->timeline);
    g_autoptr(JsonObject) outer = NULL;
    if (model_parse(row->document, -1, &reading->document, &reading->err))
        return;
    if (model_parse(outer_text, -1, &outer, &reading->err))
        json_object_unref(g_steal_pointer(&reading->document));
    else
        json_object_set_member(reading->document, TASK_TIMELINE,
                               json_object_dup_member(outer, TASK_TIMELINE));
}

int tasks_document(struct manager *manager, const char *id, JsonObject **ret_document, struct err *err)
{
    const struct task *task = tasks_find(manager, id);
    if (task) {
        *ret_document = task_to_json(task);
        return 0;
    }
    struct reading reading = {0};
    int found = db_task_get(manager->db, id, read_document, &reading, err);
    if (found < 0)
        return -1;
    if (err_is_set(&reading.err)) {
        *err = reading.err;
        return -1;
    }
    if (found) {
        *ret_document = reading.document;
        return 0;
    }
    err_set(err, ERR_NOT_FOUND, "task-not-found", "there is no task '%s'", id);
    (void)err_arg(err, "task", "%s", id);
    (void)err_cause(err, "there never was, or it ended so long ago that it is not kept any more");
    return err_fix(err, "list them with 'godwit task ls'");
}
