/* SPDX-License-Identifier: Apache-2.0 */
/* Handlers of the agent's API about the host and its VMs; `user` is the struct agent. */
#ifndef AGENT_ROUTES_VMS_H
#define AGENT_ROUTES_VMS_H

#include <stdbool.h>

#include "http/http.h"

/* False: the caller is not the manager, or one of a version that does not fit, and the request is answered.
 */
bool route_allowed(struct http_request *request);
struct agent;
/* The VM of the path; NULL: there is none, and the request is answered. */
struct vm *route_find_vm(struct http_request *request, struct agent *agent);
void route_host(struct http_request *request, void *user);
void route_vm_list(struct http_request *request, void *user);
void route_vm_put(struct http_request *request, void *user);
void route_vm_get(struct http_request *request, void *user);
void route_vm_patch(struct http_request *request, void *user);
void route_vm_delete(struct http_request *request, void *user);
void route_vm_start(struct http_request *request, void *user);
void route_vm_stop(struct http_request *request, void *user);
void route_vm_console(struct http_request *request, void *user);
void route_vm_type(struct http_request *request, void *user);
void route_vm_balloon(struct http_request *request, void *user);
void route_vm_pool(struct http_request *request, void *user);
void route_autostart(struct http_request *request, void *user);
/* routes_pools.c */
void route_pools_put(struct http_request *request, void *user);
/* routes_cpu.c */
void route_cpu_model(struct http_request *request, void *user);
void route_cpu_baseline_put(struct http_request *request, void *user);

#endif
