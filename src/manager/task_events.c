/* SPDX-License-Identifier: Apache-2.0 */
/* What is told of a task: the event of each state and phase that it enters, with what the document says. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "manager/events.h"
#include "manager/task.h"

/* Of a phase that begins, while nothing is wrong. */
static const enum event_type phase_types[MOVE_PHASES] = {
    [PHASE_REQUEST] = EVENT_MIGRATION_PHASE,           [PHASE_DESTINATION_CHECK] = EVENT_MIGRATION_BEGINS,
    [PHASE_SPECIFICATION] = EVENT_MIGRATION_PHASE,     [PHASE_SOURCE_CHECK] = EVENT_MIGRATION_PHASE,
    [PHASE_DESTINATION_SHELL] = EVENT_MIGRATION_PHASE, [PHASE_COPY] = EVENT_MIGRATION_COPIES,
    [PHASE_SWITCH_OVER] = EVENT_MIGRATION_SWITCHES,    [PHASE_INVENTORY] = EVENT_MIGRATION_HANDED_OVER,
    [PHASE_COMPLETE] = EVENT_MIGRATION_PHASE,
};

/* Of one in which only disks move. */
static const enum event_type phase_types_here[MOVE_PHASES] = {
    [PHASE_REQUEST] = EVENT_MIGRATION_PHASE,           [PHASE_DESTINATION_CHECK] = EVENT_MIGRATION_BEGINS,
    [PHASE_SPECIFICATION] = EVENT_MIGRATION_PHASE,     [PHASE_SOURCE_CHECK] = EVENT_MIGRATION_PHASE,
    [PHASE_DESTINATION_SHELL] = EVENT_MIGRATION_PHASE, [PHASE_COPY] = EVENT_RELOCATING,
    [PHASE_SWITCH_OVER] = EVENT_MIGRATION_SWITCHES,    [PHASE_INVENTORY] = EVENT_MIGRATION_PHASE,
    [PHASE_COMPLETE] = EVENT_MIGRATION_PHASE,
};

static enum event_type type_of(const struct task *task)
{
    switch (task->state) {
    case TASK_SUCCESS:
        return task_is_here(task) ? EVENT_RELOCATED : EVENT_MIGRATED;
    case TASK_ERROR:
        return EVENT_MIGRATION_FAILED;
    case TASK_CANCELLED:
        return EVENT_MIGRATION_CANCELLED;
    case TASK_QUEUED:
        return EVENT_MIGRATION_REQUESTED;
    case TASK_RUNNING:
        break;
    }
    if (task->is_ending)
        return EVENT_MIGRATION_ENDING;
    return task_is_here(task) ? phase_types_here[task->phase] : phase_types[task->phase];
}

static void emit(const struct task *task, enum event_type type, struct event *event)
{
    g_autoptr(JsonObject) document = json_object_new();
    json_object_set_string_member(document, "state", task_state_name(task->state));
    json_object_set_string_member(document, "phase", move_phase_name(task->phase));
    event->vm = task->vm_name;
    event->vm_uuid = task->vm_uuid;
    event->host = task->source_host;
    event->destination = task->destination_host;
    event->datastore = task->options.datastore;
    event->task = task->id;
    event->document = document;
    if (!event->user)
        event->user = task->user;
    events_emit(task->manager->events, type, event);
}

void task_tell(const struct task *task, enum event_type type, const char *user, const char *format, ...)
{
    char detail[sizeof task->waiting_for];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(detail, sizeof detail, format, args);
    va_end(args);
    emit(task, type, &(struct event){.user = user, .detail = detail});
}

void task_tell_seen(const struct task *task, uint32_t first_line)
{
    static const struct {
        const char *line;
        enum event_type type;
    } told[] = {
        {"connections lost", EVENT_MIGRATION_OUTAGE},
        {"copy resumed", EVENT_MIGRATION_RESUMED},
        {"guest throttled", EVENT_MIGRATION_THROTTLED},
        {"guest not throttled", EVENT_MIGRATION_NOT_THROTTLED},
    };
    const struct move_timeline *timeline = &task->source.timeline;
    for (uint32_t i = first_line; i < timeline->n_events; i++)
        for (unsigned n = 0; n < G_N_ELEMENTS(told); n++)
            if (!strcmp(timeline->events[i].event, told[n].line))
                task_tell(task, told[n].type, NULL, "%s", timeline->events[i].detail);
}

/* The same numbers as in the document. */
static JsonObject *figures_of(JsonObject *document)
{
    static const char *const names[] = {"duration_ms", "downtime_ms", "stun_us", "bytes_on_wire",
                                        "throughput_mb_s"};
    JsonObject *figures = json_object_new();
    for (unsigned i = 0; i < G_N_ELEMENTS(names); i++)
        json_object_set_member(figures, names[i], json_object_dup_member(document, names[i]));
    json_object_set_int_member(figures, "rounds",
                               json_array_get_length(json_object_get_array_member(document, "rounds")));
    return figures;
}

static char *figures_text(const struct task *task, JsonObject *figures)
{
    double seconds = (double)json_object_get_int_member(figures, "duration_ms") / 1e3;
    double megabytes = (double)json_object_get_int_member(figures, "bytes_on_wire") / 1e6;
    if (task->state == TASK_SUCCESS && task_is_here(task))
        return g_strdup_printf("in %.2f s, with a downtime of %.1f ms", seconds,
                               json_object_get_double_member(figures, "downtime_ms"));
    if (task->state != TASK_SUCCESS)
        return g_strdup_printf("after %.2f s and %.1f MB", seconds, megabytes);
    return g_strdup_printf("in %.2f s, with a downtime of %.1f ms: %.1f MB in %d rounds at %.1f MB/s, the "
                           "guest held up for %.1f ms",
                           seconds, json_object_get_double_member(figures, "downtime_ms"), megabytes,
                           (int)json_object_get_int_member(figures, "rounds"),
                           json_object_get_double_member(figures, "throughput_mb_s"),
                           (double)json_object_get_int_member(figures, "stun_us") / 1e3);
}

static void tell_warnings(const struct task *task, JsonObject *document)
{
    JsonArray *warnings = json_object_get_array_member(document, "warnings");
    for (guint i = 0; i < json_array_get_length(warnings); i++)
        task_tell(task, EVENT_MIGRATION_WARNING, NULL, "%s",
                  json_object_get_string_member(json_array_get_object_element(warnings, i), "message"));
}

void task_tell_state(const struct task *task, JsonObject *document)
{
    struct event event = {.error = &task->error, .detail = move_phase_name(task->phase)};
    if (!task_is_final(task->state)) {
        emit(task, type_of(task), &event);
        return;
    }
    g_autoptr(JsonObject) figures = figures_of(document);
    g_autofree char *words = figures_text(task, figures);
    tell_warnings(task, document);
    event.figures = figures;
    event.figures_text = words;
    /* Who ended it, where somebody did. */
    if (task->state == TASK_CANCELLED)
        event.user = err_arg_find(&task->error, "user");
    emit(task, type_of(task), &event);
}
