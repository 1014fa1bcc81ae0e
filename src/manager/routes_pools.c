/* SPDX-License-Identifier: Apache-2.0 */
/* The path of a pool is one segment of the URL: its '/' are written %2F. */
#include "manager/pools.h"
#include "manager/routes.h"

/* The pool that was made or changed, as the answer. */
static void reply(struct manager *manager, struct http_request *request, int status, const char *path)
{
    http_reply(request, status, pools_show(manager, path));
}

void route_pools_list(struct http_request *request, void *user)
{
    JsonObject *object = json_object_new();
    json_object_set_array_member(object, "pools", pools_list(user));
    http_reply(request, 200, object);
}

void route_pool_add(struct http_request *request, void *user)
{
    JsonObject *body;
    struct err err = {0};
    if (http_body(request, &body, &err) || pools_create(user, body, http_user(request), &err))
        http_fail(request, &err);
    else
        reply(user, request, 201, json_object_get_string_member(body, "path"));
}

void route_pool_show(struct http_request *request, void *user)
{
    const char *path = http_param(request, "pool");
    struct err err = {0};
    if (pools_check_exists(user, path, &err))
        http_fail(request, &err);
    else
        reply(user, request, 200, path);
}

void route_pool_set(struct http_request *request, void *user)
{
    const char *path = http_param(request, "pool");
    JsonObject *body;
    struct err err = {0};
    if (http_body(request, &body, &err) || pools_change(user, path, body, http_user(request), &err))
        http_fail(request, &err);
    else
        reply(user, request, 200, path);
}

void route_pool_remove(struct http_request *request, void *user)
{
    struct err err = {0};
    if (pools_remove(user, http_param(request, "pool"), http_user(request), &err))
        http_fail(request, &err);
    else
        http_reply(request, 200, NULL);
}
