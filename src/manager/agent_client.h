/* SPDX-License-Identifier: Apache-2.0 */
/* Calls to agents. */
#ifndef MANAGER_AGENT_CLIENT_H
#define MANAGER_AGENT_CLIENT_H

#include "http/http.h"
#include "manager/inventory.h"

/* The only call that any version of an agent answers. */
#define AGENT_FACTS_PATH "/v1/host"

/* A client that trusts only the host of that name below our CA. */
int agent_client_new(struct host *host, struct http_client **ret_client, struct err *err);
/* The call's body is consumed. A host that has not enrolled yet fails with PEER_LOST, from the main loop.
 * When the host is removed its calls end with CANCELLED: callbacks must not keep pointers to it. */
void agent_call(struct host *host, const struct http_call *call, http_done done, void *user);
/* As agent_call, for what a client of ours asks for, and may ask for by the hundred: on connections of its
 * own, so that those who wait for an hour until a VM is off hold up no move and no question whether the host
 * is there. */
void agent_call_for_user(struct host *host, const struct http_call *call, http_done done, void *user);
/* May the same call succeed later? Not if the agent was reached and says that it lost somebody: its errors in
 * a move have a side, those of the way there have none. */
bool agent_call_may_repeat(const struct err *err);

#endif
