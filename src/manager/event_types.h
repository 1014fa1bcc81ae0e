/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What can happen, as one table: the name (vSphere's where it has one, else in its manner), the severity, and
 * the text. The text is composed here once and stored; whoever shows an event shows that.
 */
#ifndef MANAGER_EVENT_TYPES_H
#define MANAGER_EVENT_TYPES_H

#include <glib.h>

#include "base/err.h"

enum event_severity { EVENT_INFO, EVENT_WARNING, EVENT_ERROR, EVENT_SEVERITIES };

enum event_type {
    EVENT_NONE, /* nothing that anybody is told */
    /* a migration */
    EVENT_MIGRATION_REQUESTED,
    EVENT_MIGRATION_REFUSED,
    EVENT_MIGRATION_BEGINS,
    EVENT_MIGRATION_PHASE,
    EVENT_MIGRATION_COPIES,
    EVENT_RELOCATING,
    EVENT_RELOCATED,
    EVENT_MIGRATION_SWITCHES,
    EVENT_MIGRATION_HANDED_OVER,
    EVENT_MIGRATION_WAITS,
    EVENT_MIGRATION_STALLED,
    EVENT_MIGRATION_OUTAGE,
    EVENT_MIGRATION_RESUMED,
    EVENT_MIGRATION_THROTTLED,
    EVENT_MIGRATION_NOT_THROTTLED,
    EVENT_MIGRATION_CANCEL_REQUESTED,
    EVENT_MIGRATION_ENDING,
    EVENT_MIGRATION_WARNING,
    EVENT_MIGRATED,
    EVENT_MIGRATION_FAILED,
    EVENT_MIGRATION_CANCELLED,
    EVENT_MIGRATION_FORECAST,
    /* a VM on its host */
    EVENT_VM_CREATED,
    EVENT_VM_DISCOVERED,
    EVENT_VM_STARTING,
    EVENT_VM_POWERED_ON,
    EVENT_VM_STOPPING,
    EVENT_VM_POWERED_OFF,
    EVENT_VM_PAUSED,
    EVENT_VM_IO_ERROR,
    EVENT_VM_PANICKED,
    EVENT_VM_RESUMED,
    EVENT_VM_UNUSABLE,
    EVENT_VM_SHELL,
    EVENT_VM_SHELL_REMOVED,
    EVENT_VM_ARRIVED,
    EVENT_VM_LEFT,
    EVENT_VM_EPOCH,
    EVENT_VM_RECONFIGURED,
    EVENT_VM_RENAMED,
    EVENT_VM_POOL_CHANGED,
    EVENT_VM_REMOVED,
    EVENT_VM_START_FAILED,
    EVENT_VM_STOP_FAILED,
    /* hosts */
    EVENT_HOST_ADDED,
    EVENT_HOST_ADOPTED,
    EVENT_HOST_ENROLLED,
    EVENT_HOST_CONNECTED,
    EVENT_HOST_CONNECTION_LOST,
    EVENT_HOST_UPGRADED,
    EVENT_HOST_CERTIFICATE,
    EVENT_HOST_REMOVED,
    EVENT_MAINTENANCE_ENTERING,
    EVENT_MAINTENANCE_ENTERED,
    EVENT_MAINTENANCE_EXITED,
    EVENT_HOST_CPU_BASELINE,
    /* all hosts together */
    EVENT_CLUSTER_CHANGED,
    /* datastores */
    EVENT_DATASTORE_INITIALISED,
    EVENT_DATASTORE_DISCOVERED,
    EVENT_DATASTORE_DUPLICATED,
    EVENT_DATASTORE_INACCESSIBLE,
    EVENT_DATASTORE_LIMITED,
    EVENT_DATASTORE_ACCESSIBLE,
    EVENT_DATASTORE_REMOVED,
    /* resource pools */
    EVENT_POOL_CREATED,
    EVENT_POOL_CHANGED,
    EVENT_POOL_REMOVED,
    /* moves without a task, and the owner by the operator's word */
    EVENT_ORPHAN_CANCELLED,
    EVENT_ORPHAN_WAITS,
    EVENT_ORPHAN_SETTLED,
    EVENT_OWNER_SETTLED,
    EVENT_OWNER_TAKEN,
    EVENT_OWNER_GIVEN_UP,
    EVENT_VM_NOT_STARTED,
    /* who may do what */
    EVENT_TOKEN_CREATED,
    EVENT_TOKEN_REMOVED,
    EVENT_ENROLMENT_CREATED,
    EVENT_MANAGER_CERTIFICATE,
    EVENT_TYPES
};

struct event_type_row {
    const char *name;
    const char *kind; /* what it is about, and so what its subject is; the name in streams */
    enum event_severity severity;
    /* {user} {vm} {host} {destination} {task} {name} {detail} {error} {figures}
     * {datastore}: of the event, which must
     * have them. What is in [brackets] is left out if something in it is missing. */
    const char *text;
};
/* EVENT_NONE is not asked for. */
const struct event_type_row *event_type_row(enum event_type type);
/* EVENT_NONE for an unknown name. */
enum event_type event_type_from_name(const char *name);
const char *event_severity_name(unsigned severity);
/* -1 for an unknown name. */
int event_severity_from_name(const char *name, unsigned *ret_severity);

/* What a text may speak of: NULL or "" where there is none. */
struct event_words {
    const char *user, *vm, *host, *destination, *task, *name, *detail, *error, *figures, *datastore;
};
/* g_free. */
char *event_text(enum event_type type, const struct event_words *words);

#endif
