/* SPDX-License-Identifier: Apache-2.0 */
/* Disks of VMs. */
#ifndef AGENT_ROUTES_DISKS_H
#define AGENT_ROUTES_DISKS_H

#include "http/http.h"

void route_disk_list(struct http_request *request, void *user);
void route_disk_add(struct http_request *request, void *user);
void route_disk_detach(struct http_request *request, void *user);
void route_disk_resize(struct http_request *request, void *user);
void route_disk_eject(struct http_request *request, void *user);
void route_disk_insert(struct http_request *request, void *user);

#endif
