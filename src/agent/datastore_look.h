/* SPDX-License-Identifier: Apache-2.0 */
/* One look at a datastore, which may never come back: for threads that nobody waits for long. Uses nothing
 * but its argument. */
#ifndef AGENT_DATASTORE_LOOK_H
#define AGENT_DATASTORE_LOOK_H

#include "agent/agent.h"
#include "model/datastore.h"

struct datastore_look {
    struct agent_user user;    /* QEMU's: with its rights all is done, a server may map root to nobody */
    char host[MODEL_NAME_MAX]; /* part of the name of the file that is written to see whether that works */
    char known_uuid[MODEL_UUID_SIZE]; /* what the host has seen there once, or "" */
    struct host_datastore found;      /* in: name and path, the rest is empty; out: all but since_ms */
    struct err err;                   /* of datastore_init */
};

/* `look` is a struct datastore_look: void for bounded_call. */
void datastore_look(void *look);
/* Writes an identity with a new UUID into a folder that has none, then looks. err: REFUSED
 * "datastore-initialised", "datastore-not-mounted", "datastore-not-writable". */
void datastore_init(void *look);

#endif
