/* SPDX-License-Identifier: Apache-2.0 */
/* Handlers of the agent's API about datastores; `user` is the struct agent. */
#ifndef AGENT_ROUTES_DATASTORES_H
#define AGENT_ROUTES_DATASTORES_H

#include "http/http.h"

void route_datastore_init(struct http_request *request, void *user);

#endif
