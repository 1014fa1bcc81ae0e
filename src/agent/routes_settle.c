/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/routes_settle.h"

#include "agent/routes_vms.h"
#include "agent/settle.h"

/* NULL: answered. A path that is no UUID must never become a file's name. */
static const char *take_uuid(struct http_request *request)
{
    const char *uuid = http_param(request, "uuid");
    struct err err;
    if (!route_allowed(request))
        return NULL;
    if (model_uuid_is_valid(uuid))
        return uuid;
    (void)err_set(&err, ERR_BAD_REQUEST, "uuid-invalid", "uuid: a lower-case UUID is needed");
    http_fail(request, &err);
    return NULL;
}

void route_ownership(struct http_request *request, void *user)
{
    struct ownership ownership;
    const char *uuid = take_uuid(request);
    if (!uuid)
        return;
    settle_look(user, uuid, &ownership);
    http_reply(request, 200, ownership_to_json(&ownership));
}

static void settled(const struct ownership *ownership, const struct err *err, void *user)
{
    if (err_is_set(err))
        http_fail(user, err);
    else
        http_reply(user, 200, ownership_to_json(ownership));
}

void route_settle(struct http_request *request, void *user)
{
    struct settle_order order;
    struct err err = {0};
    JsonObject *body;
    const char *uuid = take_uuid(request);
    if (!uuid)
        return;
    if (http_body(request, &body, &err) < 0 || settle_order_from_json(body, &order, &err) < 0)
        http_fail(request, &err);
    else
        settle_apply(user, uuid, &order, settled, request);
}
