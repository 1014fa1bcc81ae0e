/* SPDX-License-Identifier: Apache-2.0 */
/* What happened, for the log of events and for live streams. Transitions are stored, and are read as they
 * were told; progress of a running task is only streamed. */
#ifndef MANAGER_EVENTS_H
#define MANAGER_EVENTS_H

#include "http/http.h"
#include "manager/event_types.h"
#include "manager/manager.h"

/* What is known of one. Everything is borrowed, and may be NULL; "" is the same. */
struct event {
    const char *user; /* who asked for it */
    const char *vm, *vm_uuid;
    const char *host;        /* of a migration the source */
    const char *destination; /* of a migration */
    const char *datastore;   /* to which its disks go; NULL or "": they stay */
    const char *task;
    const char *name;   /* of what is neither VM, host nor task */
    const char *detail; /* words for the text */
    const struct err *error;
    JsonObject *figures;      /* of a migration that ended */
    const char *figures_text; /* the same in words */
    JsonObject *document;     /* how the subject is now */
};

struct events *events_new(struct db *db);
/* Ends all streams. NULL ok. */
void events_free(struct events *events);
/* Composes the text, stores and publishes. An event that cannot be stored is logged and published with id
 * 0. */
void events_emit(struct events *events, enum event_type type, const struct event *event);
/* Sends the task to the streams that follow it; `is_final` ends them. `document` is borrowed. */
void events_publish_task(struct events *events, const char *id, JsonObject *document, bool is_final);
/* Answers `request` with a stream of a task; `document` (borrowed) is its first event. */
void events_follow_task(struct events *events, struct http_request *request, const char *id,
                        JsonObject *document, bool is_final);
/* Answers `request` with a stream of all events that match, stored ones first. */
void events_follow(struct events *events, struct http_request *request, const struct db_event_filter *filter);
/* Stored events, oldest first, as docs/api.md has them. `ret_more`: there are more than `filter->limit`.
 * Transfer full. */
int events_list(struct events *events, const struct db_event_filter *filter, JsonArray **ret_events,
                bool *ret_more, struct err *err);
/* [{type, kind, severity, text}]; transfer full. */
JsonArray *events_types_to_json(void);

#endif
