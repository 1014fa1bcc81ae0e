/* SPDX-License-Identifier: Apache-2.0 */
#include "manager/admit.h"

#include "model/check_table.h"

#include <string.h>

struct queue {
    GPtrArray *queued;
    GHashTable *running; /* host -> number of running moves */
};

static void add_move(GHashTable *running, char *host)
{
    unsigned n = GPOINTER_TO_UINT(g_hash_table_lookup(running, host));
    g_hash_table_insert(running, host, GUINT_TO_POINTER(n + 1));
}

static void sort_in(struct task *task, void *user)
{
    struct queue *queue = user;
    if (task->state == TASK_QUEUED) {
        g_ptr_array_add(queue->queued, task);
    } else {
        add_move(queue->running, task->source_host);
        add_move(queue->running, task->destination_host);
    }
}

static bool is_full(GHashTable *running, const char *host)
{
    return GPOINTER_TO_UINT(g_hash_table_lookup(running, host)) >= ADMIT_MOVES_PER_HOST;
}

/* High priority first, and among equals in order of creation. */
static int by_priority(gconstpointer one, gconstpointer other)
{
    const struct task *const *first = one, *const *second = other;
    bool is_urgent = move_is_urgent(&(*first)->options);
    if (is_urgent != move_is_urgent(&(*second)->options))
        return is_urgent ? -1 : 1;
    return (*first)->number < (*second)->number ? -1 : (*first)->number > (*second)->number;
}

/* A start may end a task at once, which frees it and others' places: look again after each one. */
static struct task *next_to_start(struct manager *manager)
{
    g_autoptr(GPtrArray) queued = g_ptr_array_new();
    g_autoptr(GHashTable) running = g_hash_table_new(g_str_hash, g_str_equal);
    struct queue queue = {queued, running};
    tasks_each(manager, sort_in, &queue);
    g_ptr_array_sort(queued, by_priority);
    for (guint i = 0; i < queued->len; i++) {
        struct task *task = queued->pdata[i];
        const char *full = is_full(running, task->source_host)        ? task->source_host
                           : is_full(running, task->destination_host) ? task->destination_host
                                                                      : NULL;
        if (!full)
            return task;
        task_wait_since(task, 0, "a place on host '%s': %d moves run there", full, ADMIT_MOVES_PER_HOST);
        /* Those behind it keep their order: it counts on both hosts. */
        add_move(running, task->source_host);
        add_move(running, task->destination_host);
    }
    return NULL;
}

void admit_run(struct manager *manager)
{
    struct task *task;
    while ((task = next_to_start(manager)))
        task_set_state(task, TASK_RUNNING, PHASE_DESTINATION_CHECK);
}

int admit_check(struct manager *manager, const struct vm_status *vm, struct err *err)
{
    const struct task *task = tasks_find_by_vm(manager, vm->spec.uuid);
    if (!task)
        return 0;
    return check_say(err, CHECK_TASK_RUNNING,
                     CHECK_ARGS({"task", task->id}, {"vm", vm->spec.name}, {"host", task->destination_host}));
}
