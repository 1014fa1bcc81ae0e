/* SPDX-License-Identifier: Apache-2.0 */
/* Handler of the agent's API about what goes on inside a guest; `user` is the struct agent. */
#ifndef AGENT_ROUTES_GUEST_H
#define AGENT_ROUTES_GUEST_H

#include "http/http.h"

/* guest_request in, guest_report out. REFUSED unless the VM runs and has a guest agent's port. */
void route_vm_guest(struct http_request *request, void *user);

#endif
