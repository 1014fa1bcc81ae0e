/* SPDX-License-Identifier: Apache-2.0 */
/* Handlers of the agent's API about who owns a VM; `user` is the struct agent. */
#ifndef AGENT_ROUTES_SETTLE_H
#define AGENT_ROUTES_SETTLE_H

#include "http/http.h"

void route_ownership(struct http_request *request, void *user);
void route_settle(struct http_request *request, void *user);

#endif
