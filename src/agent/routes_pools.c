/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/cgroup.h"
#include "agent/routes_vms.h"

void route_pools_put(struct http_request *request, void *user)
{
    JsonObject *body;
    struct err err = {0};
    g_autofree struct pool_spec *pools = NULL;
    uint32_t n_pools;
    if (!route_allowed(request))
        return;
    if (http_body(request, &body, &err) < 0 || pool_list_from_json(body, &pools, &n_pools, &err) < 0 ||
        cgroup_set_pools(user, pools, n_pools, &err) < 0)
        http_fail(request, &err);
    else
        http_reply(request, 200, NULL);
}
