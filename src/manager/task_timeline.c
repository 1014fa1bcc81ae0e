/* SPDX-License-Identifier: Apache-2.0 */
/* One timeline of a move: what both hosts and the manager saw, by the manager's clock. */
#include <stdarg.h>
#include <stdio.h>

#include "base/clock.h"
#include "manager/task.h"

/* What one side saw, in its order. */
struct strand {
    const struct move_timeline *timeline;
    const char *side;
    const char *host;
    int64_t offset_ms; /* its clock is so far ahead of ours */
    uint32_t next;
};

void task_note(struct task *task, const char *event, const char *format, ...)
{
    char detail[ERR_TEXT_MAX];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(detail, sizeof detail, format, args);
    va_end(args);
    move_timeline_add(&task->story, clock_wall_ms(), event, detail);
}

static int64_t time_of(const struct strand *strand)
{
    return strand->timeline->events[strand->next].time_ms - strand->offset_ms;
}

/* What one side saw keeps its order, however coarse its clock is; between two in the same millisecond what
 * must come first decides. */
static bool is_earlier(const struct strand *a, const struct strand *b)
{
    if (time_of(a) != time_of(b))
        return time_of(a) < time_of(b);
    return move_event_rank(a->timeline->events[a->next].event) <
           move_event_rank(b->timeline->events[b->next].event);
}

/* The strand whose next event is the next one of all, or NULL. */
static struct strand *earliest(struct strand *strands, unsigned n_strands)
{
    struct strand *found = NULL;
    for (struct strand *strand = strands; strand < strands + n_strands; strand++)
        if (strand->next < strand->timeline->n_events && (!found || is_earlier(strand, found)))
            found = strand;
    return found;
}

static JsonObject *line_to_json(const struct strand *strand)
{
    const struct move_event *event = &strand->timeline->events[strand->next];
    char time_text[CLOCK_TEXT_SIZE];
    JsonObject *object = json_object_new();
    json_object_set_string_member(object, "time", clock_format(time_of(strand), time_text));
    json_object_set_string_member(object, "side", strand->side);
    json_object_set_string_member(object, "host", strand->host);
    json_object_set_string_member(object, "event", event->event);
    json_object_set_string_member(object, "detail", event->detail);
    return object;
}

static int64_t offset_of(const struct task *task, const char *name)
{
    const struct host *host = inventory_find_host(task->manager->inventory, name);
    return host ? clock_offset_ms(&host->clock) : 0;
}

const struct move_event *task_side_last(const struct task *task, const struct task_side *side,
                                        double *ret_seconds)
{
    const struct move_timeline *timeline = &side->timeline;
    if (!timeline->n_events)
        return NULL;
    const struct move_event *last = &timeline->events[timeline->n_events - 1];
    int64_t ago_ms = clock_wall_ms() - (last->time_ms - offset_of(task, task_side_host(task, side)));
    *ret_seconds = (double)MAX(ago_ms, 0) / 1000;
    return last;
}

JsonArray *task_timeline_to_json(const struct task *task)
{
    const char *source = task->source_host;
    const char *destination = task->destination_host;
    struct strand strands[] = {
        {&task->story, "manager", "", 0, 0},
        {&task->source.timeline, "source", source, offset_of(task, source), 0},
        {&task->destination.timeline, "destination", destination, offset_of(task, destination), 0},
    };
    struct strand *strand;
    JsonArray *array = json_array_new();
    while ((strand = earliest(strands, G_N_ELEMENTS(strands)))) {
        json_array_add_object_element(array, line_to_json(strand));
        strand->next++;
    }
    return array;
}
