/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AGENT_ROUTES_H
#define AGENT_ROUTES_H

#include "http/http.h"

/* The agent's API; `user` of the server is the struct agent. */
extern const struct http_route agent_routes[];

#endif
