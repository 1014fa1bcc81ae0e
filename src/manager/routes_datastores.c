/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "manager/agent_client.h"
#include "manager/datastores.h"
#include "manager/routes.h"

#define INIT_TIMEOUT_S 10

void route_datastores_list(struct http_request *request, void *user)
{
    const struct manager *manager = user;
    JsonObject *object = json_object_new();
    json_object_set_array_member(object, "datastores", datastores_list(manager->inventory));
    http_reply(request, 200, object);
}

void route_datastore_show(struct http_request *request, void *user)
{
    const struct manager *manager = user;
    struct err err = {0};
    JsonObject *document;
    if (datastores_show(manager->inventory, http_param(request, "datastore"), &document, &err))
        http_fail(request, &err);
    else
        http_reply(request, 200, document);
}

struct init {
    struct manager *manager;
    struct http_request *request;
    char host[MODEL_NAME_MAX];
};

static void initialised(JsonObject *object, const struct err *call_err, void *user)
{
    g_autofree struct init *init = user;
    struct host *host = inventory_find_host(init->manager->inventory, init->host);
    struct host_datastore found;
    struct err err = *call_err;
    JsonObject *document = NULL;
    if (!err_is_set(&err) && !object) {
        (void)err_set(&err, ERR_CORRUPT, "agent-answer", "host %s sent no datastore", init->host);
        (void)err_arg(&err, "host", "%s", init->host);
    }
    if (!err_is_set(&err) && !host_datastore_from_json(object, &found, &err)) {
        if (host)
            datastores_note_init(host, &found, http_user(init->request));
        (void)datastores_show(init->manager->inventory, found.name, &document, &err);
    }
    if (err_is_set(&err))
        http_fail(init->request, &err);
    else
        http_reply(init->request, 200, document);
}

static int read_init(struct http_request *request, bool *ret_force, struct err *err)
{
    static const char *const members[] = {"force", NULL};
    JsonObject *body;
    if (routes_body(request, members, &body, err))
        return -1;
    JsonNode *force = json_object_get_member(body, "force");
    if (force && json_node_get_value_type(force) != G_TYPE_BOOLEAN)
        return routes_refuse_member("force", "true or false", err);
    *ret_force = force && json_node_get_boolean(force);
    return 0;
}

void route_datastore_init(struct http_request *request, void *user)
{
    struct manager *manager = user;
    const char *name = http_param(request, "datastore");
    struct err err = {0};
    struct host *host;
    bool force = false;
    if (read_init(request, &force, &err) || routes_name(name, &err) ||
        inventory_get_host(manager->inventory, http_param(request, "host"), &host, &err) ||
        (!force && datastores_check_init(host, name, &err))) {
        http_fail(request, &err);
        return;
    }
    struct init *init = g_new0(struct init, 1);
    init->manager = manager;
    init->request = request;
    (void)g_strlcpy(init->host, host->name, sizeof init->host);
    JsonObject *body = json_object_new();
    json_object_set_boolean_member(body, "force", force);
    g_autofree char *path = g_strdup_printf("/v1/datastores/%s/init", name);
    agent_call_for_user(host, &(struct http_call){"POST", path, body, INIT_TIMEOUT_S}, initialised, init);
}
