/* SPDX-License-Identifier: Apache-2.0 */
#include "manager/events.h"

#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "model/move.h"

/* Stored events that are sent at once: far less than a stream may leave unread. */
#define PAGE 50

struct follower {
    struct events *events;
    struct http_stream *stream;
    char task[MODEL_UUID_SIZE]; /* "" = follows everything */
    bool is_behind;             /* gets stored events first; `sent` is the id of the last one */
    uint64_t sent;
};

struct events {
    struct db *db;
    GPtrArray *followers;
};

struct events *events_new(struct db *db)
{
    struct events *events = g_new0(struct events, 1);
    events->db = db;
    events->followers = g_ptr_array_new();
    return events;
}

/* Called from the main loop only, never while we send. */
static void closed(struct http_stream *stream, void *user)
{
    (void)stream;
    struct follower *follower = user;
    (void)g_ptr_array_remove(follower->events->followers, follower);
    g_free(follower);
}

static struct follower *follow(struct events *events, struct http_request *request, const char *task)
{
    struct follower *follower = g_new0(struct follower, 1);
    follower->events = events;
    (void)g_strlcpy(follower->task, task, sizeof follower->task);
    follower->stream = http_stream_open(request, closed, follower);
    g_ptr_array_add(events->followers, follower);
    return follower;
}

static void end_follower(struct follower *follower)
{
    (void)g_ptr_array_remove(follower->events->followers, follower);
    http_stream_end(follower->stream);
    g_free(follower);
}

void events_free(struct events *events)
{
    if (!events)
        return;
    while (events->followers->len)
        end_follower(g_ptr_array_index(events->followers, 0));
    g_ptr_array_unref(events->followers);
    g_free(events);
}

static JsonObject *event_json(const struct db_event *event, JsonObject *document)
{
    JsonObject *object = json_object_new();
    char time_text[CLOCK_TEXT_SIZE];
    json_object_set_int_member(object, "id", (gint64)event->id);
    json_object_set_string_member(object, "time", clock_format(event->time_ms, time_text));
    json_object_set_string_member(object, "kind", event->kind);
    json_object_set_string_member(object, "subject", event->subject);
    json_object_set_object_member(object, "document", document);
    return object;
}

void events_emit(struct events *events, const char *kind, const char *subject, JsonObject *document)
{
    g_autofree char *text = model_print(document, false);
    struct db_event event = {0, clock_wall_ms(), kind, subject, text};
    struct err err = {0};
    if (db_event_add(events->db, &event, &event.id, &err))
        log_error(&err, "an event of kind %s was not stored", kind);
    for (guint i = 0; i < events->followers->len; i++) {
        struct follower *follower = g_ptr_array_index(events->followers, i);
        if (!follower->task[0] && !follower->is_behind)
            http_stream_send(follower->stream, kind, event.id, event_json(&event, json_object_ref(document)));
    }
}

void events_publish_task(struct events *events, const char *id, JsonObject *document, bool is_final)
{
    /* Backwards, because an ended follower leaves the list. */
    for (guint i = events->followers->len; i-- > 0;) {
        struct follower *follower = g_ptr_array_index(events->followers, i);
        if (strcmp(follower->task, id) != 0)
            continue;
        http_stream_send(follower->stream, "task", 0, json_object_ref(document));
        if (is_final)
            end_follower(follower);
    }
}

void events_follow_task(struct events *events, struct http_request *request, const char *id,
                        JsonObject *document, bool is_final)
{
    struct follower *follower = follow(events, request, id);
    http_stream_send(follower->stream, "task", 0, json_object_ref(document));
    if (is_final)
        end_follower(follower);
}

static void add_stored(const struct db_event *event, void *user)
{
    JsonObject *document;
    struct err err = {0};
    if (model_parse(event->document, -1, &document, &err)) {
        log_error(&err, "stored event %llu", (unsigned long long)event->id);
        return;
    }
    json_array_add_object_element(user, event_json(event, document));
}

int events_list(struct events *events, uint64_t since, unsigned limit, JsonArray **ret_events,
                struct err *err)
{
    JsonArray *list = json_array_new();
    if (db_event_list(events->db, since, limit, add_stored, list, err)) {
        json_array_unref(list);
        return -1;
    }
    *ret_events = list;
    return 0;
}

static void go_on(struct http_stream *stream, void *user);

/* Takes `stored`. The next page follows when the client has taken this one; what is emitted meanwhile is
 * stored and comes in its turn. An empty page: the follower has all there is and goes live. */
static void send_page(struct follower *follower, JsonArray *stored)
{
    for (guint i = 0; i < json_array_get_length(stored); i++) {
        JsonObject *event = json_array_get_object_element(stored, i);
        follower->sent = (uint64_t)json_object_get_int_member(event, "id");
        http_stream_send(follower->stream, json_object_get_string_member(event, "kind"), follower->sent,
                         json_object_ref(event));
    }
    follower->is_behind = json_array_get_length(stored) > 0;
    if (follower->is_behind)
        http_stream_when_written(follower->stream, go_on);
    json_array_unref(stored);
}

static void go_on(struct http_stream *stream, void *user)
{
    (void)stream;
    struct follower *follower = user;
    JsonArray *stored;
    struct err err = {0};
    if (!events_list(follower->events, follower->sent, PAGE, &stored, &err)) {
        send_page(follower, stored);
        return;
    }
    log_error(&err, "a stream of all events ends");
    end_follower(follower);
}

void events_follow_all(struct events *events, struct http_request *request, uint64_t since)
{
    JsonArray *stored;
    struct err err = {0};
    if (events_list(events, since, PAGE, &stored, &err))
        http_fail(request, &err);
    else
        send_page(follow(events, request, ""), stored);
}
