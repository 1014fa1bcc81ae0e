/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/routes_datastores.h"

#include "agent/datastores.h"
#include "agent/routes_vms.h"
#include "model/json.h"

void route_datastore_init(struct http_request *request, void *user)
{
    struct host_datastore found;
    struct err err = {0};
    JsonObject *body;
    if (!route_allowed(request))
        return;
    if (http_body(request, &body, &err) < 0 ||
        datastores_init(user, http_param(request, "datastore"), model_flag(body, "force"), &found, &err) < 0)
        http_fail(request, &err);
    else
        http_reply(request, 200, host_datastore_to_json(&found));
}
