/* SPDX-License-Identifier: Apache-2.0 */
/* Phases 6 and 7, for people: who is waited for, for what, and what was heard last. */
#include <string.h>

#include "base/clock.h"
#include "manager/migrate.h"

/* Both jobs move bytes, or change state, more often than this. */
#define STALL_NS NS_PER_S

static bool has_event(const struct task_side *side, const char *event)
{
    for (uint32_t i = 0; i < side->timeline.n_events; i++)
        if (!strcmp(side->timeline.events[i].event, event))
            return true;
    return false;
}

/* The steps of a switch-over come in this order; the first that nobody has seen is the one that is awaited.
 */
static void say_step(struct task *task, int64_t since_ms)
{
    const struct task_side *source = &task->source, *destination = &task->destination;
    /* An agent of an earlier version tells no steps. */
    bool is_told = source->timeline.n_events && destination->timeline.n_events;
    bool with_disks = source->status.n_disks > 0;
    if (is_told && !has_event(source, "guest stopped") && with_disks)
        task_wait_since(task, since_ms,
                        "host '%s' to stop the guest, and host '%s' to take what it wrote last to its disks",
                        task->source_host, task->destination_host);
    else if (is_told && !has_event(source, "guest stopped"))
        task_wait_since(task, since_ms, "host '%s' to stop the guest", task->source_host);
    else if (is_told && !has_event(destination, "memory complete"))
        task_wait_since(task, since_ms,
                        "the last memory to cross the migration network from host '%s' to host '%s'",
                        task->source_host, task->destination_host);
    else if (is_told && with_disks && !has_event(source, "disks complete"))
        task_wait_since(task, since_ms, "host '%s' to take what the guest wrote last to its disks",
                        task->destination_host);
    else if (is_told && !has_event(source, "device state saved"))
        task_wait_since(task, since_ms, "host '%s' to save the state of the VM's devices", task->source_host);
    else if (is_told && !has_event(destination, "device state loaded"))
        task_wait_since(task, since_ms, "host '%s' to load the state of the VM's devices",
                        task->destination_host);
    else
        task_wait_since(task, since_ms, "host '%s' to take the VM over", task->destination_host);
}

/* NULL: none, or no more. */
static const struct move_disk_copy *unfinished_disk(const struct task *task)
{
    const struct move_status *status = &task->source.status;
    for (uint32_t i = 0; i < status->n_disks; i++)
        if (!status->disks[i].ready)
            return &status->disks[i];
    return NULL;
}

/* A destination that stores nothing takes nothing either, so only a try of the way tells the two apart. */
static void say_copy(struct task *task, int64_t since_ms)
{
    const struct move_disk_copy *disk = unfinished_disk(task);
    const char *way = task->way.message;
    if (disk && !way[0])
        task_wait_since(task, since_ms, "host '%s' to take what is copied of disk %s", task->destination_host,
                        disk->label);
    else if (disk)
        task_wait_since(task, since_ms,
                        "disk %s to cross the migration network from host '%s' to host '%s': %s", disk->label,
                        task->source_host, task->destination_host, way);
    else
        task_wait_since(task, since_ms,
                        "memory to cross the migration network from host '%s' to host '%s'%s%s",
                        task->source_host, task->destination_host, way[0] ? ": " : "", way);
}

void migrate_say_wait(struct task *task)
{
    const struct task_side *destination = &task->destination;
    uint64_t idle_ns = clock_now_ns() - task->progress_ns;
    int64_t since_ms = clock_wall_ms() - (int64_t)(idle_ns / NS_PER_MS);
    const char *colon = task->way.message[0] ? ": " : "";
    if (task->source.status.is_down)
        task_wait_since(task, 0, "the migration network from host '%s' to host '%s' to come back%s%s",
                        task->source_host, task->destination_host, colon, task->way.message);
    else if (idle_ns < STALL_NS)
        task_wait_over(task);
    else if (task_is_here(task))
        task_wait_since(task, since_ms, "host '%s' to copy the disks of VM '%s'", task->source_host,
                        task->vm_name);
    else if (destination->silent_since_ms)
        task_wait_since(task, destination->silent_since_ms, "host '%s' to " MIGRATE_TO_REPORT,
                        task->destination_host);
    else if (task->source.status.state == MOVE_PREPARED)
        task_wait_since(task, since_ms, "host '%s' to reach host '%s' over the migration network%s%s",
                        task->source_host, task->destination_host, colon, task->way.message);
    else if (task->phase == PHASE_COPY)
        say_copy(task, since_ms);
    else
        say_step(task, since_ms);
}

static void add_last(GString *text, const struct task *task, const struct task_side *side)
{
    double seconds;
    const struct move_event *last = task_side_last(task, side, &seconds);
    const char *host = task_side_host(task, side);
    if (text->len)
        g_string_append(text, "; ");
    if (last)
        g_string_append_printf(text, "host '%s' said '%s' %.1f s before, its last step", host, last->event,
                               seconds);
    else
        g_string_append_printf(text, "host '%s' has told no step", host);
    if (side->silent_since_ns)
        g_string_append_printf(text, ", and has been silent for %.1f s",
                               (double)(clock_now_ns() - side->silent_since_ns) / (double)NS_PER_S);
}

void migrate_say_last(const struct task *task, struct err *err)
{
    g_autoptr(GString) text = g_string_new(task->way.message);
    add_last(text, task, &task->source);
    add_last(text, task, &task->destination);
    (void)err_cause(err, "%s", text->str);
    (void)err_arg(err, "bytes", "%llu", (unsigned long long)task->source.status.bytes_on_wire);
}
