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
    char task[MODEL_UUID_SIZE];    /* "" = follows what happens */
    struct db_event_filter filter; /* ... and matches; `after`: the last one that was sent */
    bool is_behind;                /* gets stored events first */
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

static void set_text(JsonObject *object, const char *name, const char *text)
{
    if (text && text[0])
        json_object_set_string_member(object, name, text);
    else
        json_object_set_null_member(object, name);
}

/* Of our own making, as everything that is stored: what cannot be read is damaged. */
static void set_document(JsonObject *object, const char *name, const struct db_event *event, const char *text)
{
    JsonObject *document = NULL;
    struct err err = {0};
    if (text && model_parse(text, -1, &document, &err))
        log_error(&err, "stored event %llu: its %s", (unsigned long long)event->id, name);
    if (document)
        json_object_set_object_member(object, name, document);
    else
        json_object_set_null_member(object, name);
}

static JsonObject *event_json(const struct db_event *event)
{
    JsonObject *object = json_object_new();
    char time_text[CLOCK_TEXT_SIZE];
    json_object_set_int_member(object, "id", (gint64)event->id);
    json_object_set_string_member(object, "time", clock_format(event->time_ms, time_text));
    json_object_set_string_member(object, "type", event->type);
    json_object_set_string_member(object, "severity", event_severity_name(event->severity));
    json_object_set_string_member(object, "text", event->text);
    set_text(object, "user", event->user);
    set_text(object, "vm", event->vm);
    set_text(object, "vm_uuid", event->vm_uuid);
    set_text(object, "host", event->host);
    set_text(object, "destination", event->destination);
    set_text(object, "task", event->task);
    set_document(object, "error", event, event->error);
    set_document(object, "figures", event, event->figures);
    json_object_set_string_member(object, "kind", event->kind);
    json_object_set_string_member(object, "subject", event->subject);
    set_document(object, "document", event, event->document);
    return object;
}

static const char *or_null(const char *text)
{
    return text && text[0] ? text : NULL;
}

/* What an event of that kind is about. */
static const char *subject_of(const char *kind, const struct event *event)
{
    const char *subject = event->name ? event->name : event->vm_uuid;
    if (!strcmp(kind, "task"))
        subject = event->task;
    else if (!strcmp(kind, "host") || !subject)
        subject = event->host;
    return subject ? subject : "";
}

/* "MESSAGE (CAUSE)": what failed, and why. */
static char *reason_of(const struct err *error)
{
    if (!err_is_set(error))
        return NULL;
    return error->cause[0] ? g_strdup_printf("%s (%s)", error->message, error->cause)
                           : g_strdup(error->message);
}

static char *text_of(enum event_type type, const struct event *event)
{
    g_autofree char *reason = reason_of(event->error);
    const struct event_words words = {
        .user = event->user,
        .vm = or_null(event->vm) ? event->vm : event->vm_uuid,
        .host = event->host,
        .destination = g_strcmp0(event->destination, event->host) ? event->destination : NULL,
        .datastore = event->datastore,
        .task = event->task,
        .name = event->name,
        .detail = event->detail,
        .error = reason,
        .figures = event->figures_text,
    };
    g_autofree char *text = event_text(type, &words);
    /* Errors quote file names and what programs said. */
    return g_utf8_make_valid(text, -1);
}

static char *error_text(const struct err *error)
{
    if (!err_is_set(error))
        return NULL;
    g_autoptr(JsonObject) outer = model_error_to_json(error);
    return model_print(json_object_get_object_member(outer, "error"), false);
}

void events_emit(struct events *events, enum event_type type, const struct event *event)
{
    const struct event_type_row *row = event_type_row(type);
    g_autofree char *text = text_of(type, event);
    g_autofree char *error = error_text(event->error);
    g_autofree char *figures = event->figures ? model_print(event->figures, false) : NULL;
    g_autofree char *document = event->document ? model_print(event->document, false) : g_strdup("{}");
    struct db_event stored = {
        .time_ms = clock_wall_ms(),
        .kind = row->kind,
        .subject = subject_of(row->kind, event),
        .type = row->name,
        .severity = row->severity,
        .user = or_null(event->user),
        .vm = or_null(event->vm),
        .vm_uuid = or_null(event->vm_uuid),
        .host = or_null(event->host),
        .destination = or_null(event->destination),
        .task = or_null(event->task),
        .text = text,
        .error = error,
        .figures = figures,
        .document = document,
    };
    struct err err = {0};
    if (db_event_add(events->db, &stored, &stored.id, &err))
        log_error(&err, "an event was not stored: %s", text);
    for (guint i = 0; i < events->followers->len; i++) {
        struct follower *follower = g_ptr_array_index(events->followers, i);
        if (!follower->task[0] && !follower->is_behind && db_event_matches(&follower->filter, &stored))
            http_stream_send(follower->stream, stored.kind, stored.id, event_json(&stored));
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
    json_array_add_object_element(user, event_json(event));
}

int events_list(struct events *events, const struct db_event_filter *filter, JsonArray **ret_events,
                bool *ret_more, struct err *err)
{
    JsonArray *list = json_array_new();
    struct db_event_filter one_more = *filter;
    one_more.limit++;
    if (db_event_list(events->db, &one_more, add_stored, list, err)) {
        json_array_unref(list);
        return -1;
    }
    *ret_more = json_array_get_length(list) > filter->limit;
    if (*ret_more)
        json_array_remove_element(list, filter->is_newest ? 0 : filter->limit);
    *ret_events = list;
    return 0;
}

JsonArray *events_types_to_json(void)
{
    JsonArray *list = json_array_new();
    for (enum event_type type = EVENT_NONE + 1; type < EVENT_TYPES; type++) {
        const struct event_type_row *row = event_type_row(type);
        JsonObject *object = json_object_new();
        json_object_set_string_member(object, "type", row->name);
        json_object_set_string_member(object, "kind", row->kind);
        json_object_set_string_member(object, "severity", event_severity_name(row->severity));
        json_object_set_string_member(object, "text", row->text);
        json_array_add_object_element(list, object);
    }
    return list;
}

static void go_on(struct http_stream *stream, void *user);

/* Takes `stored`. The next page follows when the client has taken this one; what is emitted meanwhile is
 * stored and comes in its turn. An empty page: the follower has all there is and goes live. */
static void send_page(struct follower *follower, JsonArray *stored)
{
    for (guint i = 0; i < json_array_get_length(stored); i++) {
        JsonObject *event = json_array_get_object_element(stored, i);
        follower->filter.after = (uint64_t)json_object_get_int_member(event, "id");
        http_stream_send(follower->stream, json_object_get_string_member(event, "kind"),
                         follower->filter.after, json_object_ref(event));
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
    bool more;
    struct err err = {0};
    if (!events_list(follower->events, &follower->filter, &stored, &more, &err)) {
        send_page(follower, stored);
        return;
    }
    log_error(&err, "a stream of events ends");
    end_follower(follower);
}

void events_follow(struct events *events, struct http_request *request, const struct db_event_filter *filter)
{
    JsonArray *stored;
    bool more;
    struct err err = {0};
    struct db_event_filter paged = *filter;
    paged.limit = PAGE;
    if (events_list(events, &paged, &stored, &more, &err)) {
        http_fail(request, &err);
        return;
    }
    struct follower *follower = follow(events, request, "");
    follower->filter = paged;
    send_page(follower, stored);
}
