/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "model/move.h"
#include "model/move_fields.h"

/* A whole move, as both sides and the manager see it, in the one order in which it can happen. */
static const char *const order[] = {
    "asked",
    "phase",
    "waits",
    "cancel asked",
    "vm held",
    "shell started",
    "ticket at the door",
    "job started",
    "source connected",
    "connected",
    "address left out",
    "connections lost",
    "copy resumed",
    "guest throttled",
    "guest not throttled",
    "guest stopped",
    "memory complete",
    "device state saved",
    "device state loaded",
    "READY released",
    "READY received",
    "GIVEN durable",
    "COMMIT released",
    "COMMIT received",
    "OWNED durable",
    "guest runs",
    "guest not started",
    "RETURNED durable",
    "verdict received",
    "GONE durable",
    "QEMU ended",
    "failed",
    "agent restarted",
    "RESUMED durable",
    "VM resumed",
    "ABORTED durable",
    "shell ended",
    "ending",
};

unsigned move_event_rank(const char *event)
{
    unsigned rank = 0;
    while (rank < G_N_ELEMENTS(order) && strcmp(order[rank], event) != 0)
        rank++;
    return rank;
}

const struct field move_event_fields[] = {
    SIGNED(struct move_event, time_ms),
    TEXT(struct move_event, event, NULL),
    TEXT(struct move_event, detail, NULL),
    FIELDS_END,
};

static const struct field timeline_fields[] = {
    LIST(struct move_timeline, events, move_event_fields),
    FIELDS_END,
};

void move_timeline_add(struct move_timeline *timeline, int64_t time_ms, const char *event, const char *detail)
{
    unsigned at = MIN(timeline->n_events, MOVE_EVENTS_MAX - 1);
    struct move_event *slot = &timeline->events[at];
    *slot = (struct move_event){.time_ms = time_ms};
    (void)g_strlcpy(slot->event, event, sizeof slot->event);
    /* A text that is cut must still be UTF-8. */
    g_autofree char *whole = g_utf8_make_valid(detail ? detail : "", -1);
    size_t length = strlen(whole);
    if (length >= sizeof slot->detail)
        length = (size_t)(g_utf8_find_prev_char(whole, whole + sizeof slot->detail) - whole);
    memcpy(slot->detail, whole, length);
    timeline->n_events = at + 1;
}

void move_timeline_take(struct move_timeline *timeline, const struct move_timeline *reported)
{
    uint32_t kept = 0;
    if (!reported->n_events)
        return;
    while (kept < timeline->n_events && timeline->events[kept].time_ms < reported->events[0].time_ms)
        kept++;
    timeline->n_events = kept;
    for (uint32_t i = 0; i < reported->n_events; i++) {
        const struct move_event *event = &reported->events[i];
        move_timeline_add(timeline, event->time_ms, event->event, event->detail);
    }
}

JsonObject *move_timeline_to_json(const struct move_timeline *timeline)
{
    return fields_write(timeline_fields, timeline);
}

int move_timeline_from_json(JsonObject *object, struct move_timeline *ret_timeline, struct err *err)
{
    *ret_timeline = (struct move_timeline){0};
    return fields_read(object, timeline_fields, ret_timeline, FIELDS_LENIENT, err);
}
