/* SPDX-License-Identifier: Apache-2.0 */
/* Handlers of the agent's API about forecasts; `user` is the struct agent. They only translate to forecast.h.
 */
#ifndef AGENT_ROUTES_FORECASTS_H
#define AGENT_ROUTES_FORECASTS_H

#include "http/http.h"

void route_forecast_destination(struct http_request *request, void *user);
void route_forecast_source(struct http_request *request, void *user);

#endif
