/* SPDX-License-Identifier: Apache-2.0 */
/* What happened, for the log of events and for live streams. Events of phases and inventory are stored;
 * progress of a running task is only streamed. */
#ifndef MANAGER_EVENTS_H
#define MANAGER_EVENTS_H

#include "http/http.h"
#include "manager/manager.h"

struct events *events_new(struct db *db);
/* Ends all streams. NULL ok. */
void events_free(struct events *events);
/* Stores and publishes. `document` is borrowed. An event that cannot be stored is logged and published with
 * id 0. */
void events_emit(struct events *events, const char *kind, const char *subject, JsonObject *document);
/* Sends the task to the streams that follow it; `is_final` ends them. `document` is borrowed. */
void events_publish_task(struct events *events, const char *id, JsonObject *document, bool is_final);
/* Answers `request` with a stream of a task; `document` (borrowed) is its first event. */
void events_follow_task(struct events *events, struct http_request *request, const char *id,
                        JsonObject *document, bool is_final);
/* Answers `request` with a stream of all events after `since`, stored ones first. */
void events_follow_all(struct events *events, struct http_request *request, uint64_t since);
/* Stored events after `since`, oldest first, with id, time, kind, subject and document. Transfer full. */
int events_list(struct events *events, uint64_t since, unsigned limit, JsonArray **ret_events,
                struct err *err);

#endif
