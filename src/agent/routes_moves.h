/* SPDX-License-Identifier: Apache-2.0 */
/* Handlers of the agent's API about moves; `user` is the struct agent. They only translate to moves.h. */
#ifndef AGENT_ROUTES_MOVES_H
#define AGENT_ROUTES_MOVES_H

#include "http/http.h"

struct agent;

void route_move_check(struct http_request *request, void *user);
void route_move_source(struct http_request *request, void *user);
void route_move_destination(struct http_request *request, void *user);
void route_move_start(struct http_request *request, void *user);
void route_move_get(struct http_request *request, void *user);
void route_move_cancel(struct http_request *request, void *user);
void route_move_commit(struct http_request *request, void *user);
void route_move_verdict(struct http_request *request, void *user);
void route_move_delete(struct http_request *request, void *user);
/* Every move of this host, for GET /v1/vms; transfer full. */
JsonArray *route_moves_json(struct agent *agent);

#endif
