/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A request about a VM that its agent answers. From forward_new to the answer, what the VM does is by the
 * wish of who sent the request (vm_events.h). The callbacks are for agent_call_for_user; each answers the
 * request and frees.
 */
#ifndef MANAGER_FORWARD_H
#define MANAGER_FORWARD_H

#include "http/http.h"
#include "manager/event_types.h"
#include "manager/manager.h"

struct forward {
    struct manager *manager;
    struct http_request *request;
    char host[MODEL_NAME_MAX];
    char uuid[MODEL_UUID_SIZE];
    int status;     /* of a good answer; 200 */
    struct err err; /* of a bad one, while the host is asked again */
    /* What a good answer and a bad one are told as, besides what the inventory tells of the VM; EVENT_NONE */
    enum event_type done, failed;
    char *detail;                  /* for the text of `done`; owned */
    char old_name[MODEL_NAME_MAX]; /* of a VM that may get another one; "" */
};

struct forward *forward_new(struct manager *manager, struct http_request *request, const char *host,
                            const char *uuid);
/* The answer is a vm_status, which the inventory takes, perhaps with `warnings`, which are passed on. */
void forward_status(JsonObject *object, const struct err *err, void *forward);
/* The same, of a call for which room was promised in a pool: it is released. */
void forward_placed(JsonObject *object, const struct err *err, void *forward);
/* The VM is not there any more. */
void forward_removed(JsonObject *object, const struct err *err, void *forward);

#endif
