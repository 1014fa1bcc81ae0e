/* SPDX-License-Identifier: Apache-2.0 */
/* Private to model/: tables that others contain. */
#ifndef MODEL_MOVE_FIELDS_H
#define MODEL_MOVE_FIELDS_H

#include "model/fields.h"
#include "model/move.h"

extern const struct field move_options_fields[];
extern const struct field move_event_fields[];

/* A struct move_timeline as a list of events. */
#define MOVE_EVENTS(type, member)                                                                            \
    {                                                                                                        \
        .name = #member, .kind = FIELD_LIST, .offset = offsetof(type, member.events),                        \
        .size = sizeof(struct move_event), .max = MOVE_EVENTS_MAX,                                           \
        .count_offset = offsetof(type, member.n_events), .fields = move_event_fields                         \
    }

#endif
