/* SPDX-License-Identifier: Apache-2.0 */
/* The switch-over of a task step by step, in microseconds since the source asked for the stop. Each host has
 * measured its own steps by its own clock. */
#include <string.h>

#include "manager/task.h"

struct side_steps {
    const struct move_status *status;
    const char *side;
    uint64_t ahead_us; /* the source's clock is so far ahead of this side's */
    uint32_t next;
};

static bool find(const struct move_status *status, const char *step, uint64_t *ret_us)
{
    for (uint32_t i = 0; i < status->n_switch_over; i++) {
        *ret_us = status->switch_over[i].us;
        if (!strcmp(status->switch_over[i].step, step))
            return true;
    }
    return false;
}

/* READY is sent by one and received by the other: taken for the same moment, its way on the network is what
 * the steps of the two sides may be wrong by. */
static bool align(const struct move_status *source, struct side_steps *destination)
{
    uint64_t sent_us;
    uint64_t received_us;
    if (!find(source, "READY received", &received_us) || !find(destination->status, "READY sent", &sent_us) ||
        sent_us > received_us)
        return false;
    destination->ahead_us = received_us - sent_us;
    return true;
}

static uint64_t next_us(const struct side_steps *steps)
{
    return steps->status->switch_over[steps->next].us + steps->ahead_us;
}

static void add_next(JsonArray *list, struct side_steps *steps)
{
    JsonObject *object = json_object_new();
    json_object_set_string_member(object, "side", steps->side);
    json_object_set_string_member(object, "step", steps->status->switch_over[steps->next].step);
    json_object_set_int_member(object, "us", (gint64)next_us(steps));
    json_array_add_object_element(list, object);
    steps->next++;
}

JsonArray *task_switch_over_to_json(const struct task *task)
{
    JsonArray *list = json_array_new();
    struct side_steps source = {&task->source.status, "source", 0, 0};
    struct side_steps destination = {&task->destination.status, "destination", 0, 0};
    bool both = align(source.status, &destination);
    while (source.next < source.status->n_switch_over) {
        while (both && destination.next < destination.status->n_switch_over &&
               next_us(&destination) < next_us(&source))
            add_next(list, &destination);
        add_next(list, &source);
    }
    while (both && destination.next < destination.status->n_switch_over)
        add_next(list, &destination);
    return list;
}
