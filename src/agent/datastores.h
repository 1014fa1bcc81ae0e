/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The datastores of the configuration: what this host knows of each, from a thread of its own for each, which
 * a dead server may hold for ever. Main-loop thread, which never waits for them.
 */
#ifndef AGENT_DATASTORES_H
#define AGENT_DATASTORES_H

#include "agent/agent.h"

/* Begins to look; remembers in state_dir/datastores.json which identity each name had. */
int datastores_open(struct agent *agent, struct err *err);
/* Threads that are in a look are left to it. */
void datastores_close(struct agent *agent);
/* As they are known now: with one that does not come back as stale. */
void datastores_now(const struct agent *agent, struct host_datastore list[HOST_DATASTORES_MAX],
                    uint32_t *ret_n);
/* False: this host has none of that name. */
bool datastores_get(const struct agent *agent, const char *name, struct host_datastore *ret_datastore);
/* Gives the folder an identity, by the operator's word, and says what it is then. NOT_FOUND
 * "datastore-not-found"; REFUSED "datastore-known" where another identity was seen (unless `force`),
 * "datastore-stale", and as datastore_init. Waits for some seconds at most. */
int datastores_init(struct agent *agent, const char *name, bool force, struct host_datastore *ret_datastore,
                    struct err *err);

#endif
