/* SPDX-License-Identifier: Apache-2.0 */
/* A handler of the agent's API about the way to another host; `user` is the struct agent. */
#ifndef AGENT_ROUTES_REACH_H
#define AGENT_ROUTES_REACH_H

#include "http/http.h"

void route_reach(struct http_request *request, void *user);

#endif
