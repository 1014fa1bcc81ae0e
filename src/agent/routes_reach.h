/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AGENT_ROUTES_REACH_H
#define AGENT_ROUTES_REACH_H

#include "http/http.h"

void route_reach(struct http_request *request, void *user);

#endif
