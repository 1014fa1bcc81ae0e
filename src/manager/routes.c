/* SPDX-License-Identifier: Apache-2.0 */
#include "manager/routes.h"

#include <string.h>

#include "manager/task.h"

const struct http_route routes_table[] = {
    {"POST", "/v1/enroll", HTTP_OPEN, route_enroll},
    {"POST", "/v1/renew", HTTP_CLIENT, route_renew},
    {"GET", "/v1/openapi", HTTP_TOKEN, route_openapi},
    {"GET", "/v1/about", HTTP_TOKEN, route_about},
    {"GET", "/v1/hosts", HTTP_TOKEN, route_hosts_list},
    {"POST", "/v1/hosts", HTTP_TOKEN, route_host_add},
    {"GET", "/v1/hosts/{host}", HTTP_TOKEN, route_host_show},
    {"POST", "/v1/hosts/{host}/enroll", HTTP_TOKEN, route_host_enroll},
    {"POST", "/v1/hosts/{host}/adopt", HTTP_TOKEN, route_host_adopt},
    {"POST", "/v1/hosts/{host}/maintenance", HTTP_TOKEN, route_maintenance_enter},
    {"DELETE", "/v1/hosts/{host}/maintenance", HTTP_TOKEN, route_maintenance_exit},
    {"POST", "/v1/hosts/{host}/datastores/{datastore}/init", HTTP_TOKEN, route_datastore_init},
    {"DELETE", "/v1/hosts/{host}", HTTP_TOKEN, route_host_remove},
    {"GET", "/v1/datastores", HTTP_TOKEN, route_datastores_list},
    {"GET", "/v1/datastores/{datastore}", HTTP_TOKEN, route_datastore_show},
    {"GET", "/v1/vms", HTTP_TOKEN, route_vms_list},
    {"POST", "/v1/vms", HTTP_TOKEN, route_vm_create},
    {"GET", "/v1/vms/{vm}", HTTP_TOKEN, route_vm_show},
    {"PATCH", "/v1/vms/{vm}", HTTP_TOKEN, route_vm_set},
    {"DELETE", "/v1/vms/{vm}", HTTP_TOKEN, route_vm_remove},
    {"POST", "/v1/vms/{vm}/start", HTTP_TOKEN, route_vm_start},
    {"POST", "/v1/vms/{vm}/stop", HTTP_TOKEN, route_vm_stop},
    {"GET", "/v1/vms/{vm}/console", HTTP_TOKEN, route_vm_console},
    {"POST", "/v1/vms/{vm}/balloon", HTTP_TOKEN, route_vm_balloon},
    {"GET", "/v1/vms/{vm}/disks", HTTP_TOKEN, route_disks_list},
    {"POST", "/v1/vms/{vm}/disks", HTTP_TOKEN, route_disk_add},
    {"POST", "/v1/vms/{vm}/disks/{disk}/detach", HTTP_TOKEN, route_disk_detach},
    {"POST", "/v1/vms/{vm}/disks/{disk}/resize", HTTP_TOKEN, route_disk_resize},
    {"POST", "/v1/vms/{vm}/disks/{disk}/eject", HTTP_TOKEN, route_disk_eject},
    {"POST", "/v1/vms/{vm}/disks/{disk}/insert", HTTP_TOKEN, route_disk_insert},
    {"POST", "/v1/vms/{vm}/console", HTTP_TOKEN, route_vm_type},
    {"GET", "/v1/vms/{vm}/ownership", HTTP_TOKEN, route_vm_ownership},
    {"POST", "/v1/vms/{vm}/settle", HTTP_TOKEN, route_vm_settle},
    {"POST", "/v1/vms/{vm}/pool", HTTP_TOKEN, route_vm_pool},
    {"GET", "/v1/cluster", HTTP_TOKEN, route_cluster_show},
    {"PATCH", "/v1/cluster", HTTP_TOKEN, route_cluster_set},
    {"GET", "/v1/pools", HTTP_TOKEN, route_pools_list},
    {"POST", "/v1/pools", HTTP_TOKEN, route_pool_add},
    {"GET", "/v1/pools/{pool}", HTTP_TOKEN, route_pool_show},
    {"PATCH", "/v1/pools/{pool}", HTTP_TOKEN, route_pool_set},
    {"DELETE", "/v1/pools/{pool}", HTTP_TOKEN, route_pool_remove},
    {"POST", "/v1/migrations", HTTP_TOKEN, route_migrate},
    {"POST", "/v1/checks", HTTP_TOKEN, route_check},
    {"POST", "/v1/forecasts", HTTP_TOKEN, route_forecast},
    {"POST", "/v1/diagnoses", HTTP_TOKEN, route_diagnose},
    {"GET", "/v1/tasks", HTTP_TOKEN, route_tasks_list},
    {"GET", "/v1/tasks/{task}", HTTP_TOKEN, route_task_show},
    {"POST", "/v1/tasks/{task}/cancel", HTTP_TOKEN, route_task_cancel},
    {"GET", "/v1/tasks/{task}/events", HTTP_TOKEN, route_task_events},
    {"GET", "/v1/events", HTTP_TOKEN, route_events},
    {"GET", "/v1/event-types", HTTP_TOKEN, route_event_types},
    {"GET", "/v1/tokens", HTTP_TOKEN, route_tokens_list},
    {"POST", "/v1/tokens", HTTP_TOKEN, route_token_add},
    {"DELETE", "/v1/tokens/{name}", HTTP_TOKEN, route_token_remove},
    {NULL},
};

int routes_body(struct http_request *request, const char *const *allowed, JsonObject **ret_body,
                struct err *err)
{
    if (http_body(request, ret_body, err))
        return -1;
    g_autoptr(GList) members = json_object_get_members(*ret_body);
    for (GList *member = members; member; member = member->next) {
        if (g_strv_contains(allowed, member->data))
            continue;
        g_autofree char *names = g_strjoinv(", ", (char **)allowed);
        err_set(err, ERR_BAD_REQUEST, "unknown-member", "the request has an unknown member '%s'",
                (const char *)member->data);
        (void)err_arg(err, "member", "%s", (const char *)member->data);
        return names[0] ? err_fix(err, "members of this request: %s", names)
                        : err_fix(err, "this request has no members: leave them out");
    }
    return 0;
}

int routes_no_members(struct http_request *request, struct err *err)
{
    static const char *const members[] = {NULL};
    JsonObject *body;
    return routes_body(request, members, &body, err);
}

int routes_refuse_member(const char *member, const char *must, struct err *err)
{
    (void)err_set(err, ERR_BAD_REQUEST, "member-type", "the member '%s' must be %s", member, must);
    (void)err_arg(err, "member", "%s", member);
    return err_arg(err, "must", "%s", must);
}

int routes_member_missing(const char *member, struct err *err)
{
    (void)err_set(err, ERR_BAD_REQUEST, "member-missing", "the request needs the member '%s'", member);
    return err_arg(err, "member", "%s", member);
}

int routes_text(JsonObject *body, const char *name, const char *fallback, const char **ret_text,
                struct err *err)
{
    JsonNode *node = json_object_get_member(body, name);
    *ret_text = fallback;
    if (!node || JSON_NODE_HOLDS_NULL(node))
        return fallback ? 0 : routes_member_missing(name, err);
    if (json_node_get_value_type(node) != G_TYPE_STRING)
        return routes_refuse_member(name, "a text", err);
    *ret_text = json_node_get_string(node);
    return 0;
}

int routes_name(const char *name, struct err *err)
{
    if (model_name_is_valid(name))
        return 0;
    (void)err_set(err, ERR_BAD_REQUEST, "name", "'%s' is not a name", name);
    (void)err_arg(err, "member", "name");
    (void)err_arg(err, "name", "%s", name);
    return err_fix(err, "use 1 to %d letters, digits, '-', '_' or '.'; the first is a letter, a digit or '_'",
                   MODEL_NAME_MAX - 1);
}

int routes_client_key(JsonObject *body, const char **ret_key, struct err *err)
{
    if (routes_text(body, "client_key", "", ret_key, err))
        return -1;
    if (strlen(*ret_key) < TASK_CLIENT_KEY_MAX)
        return 0;
    err_set(err, ERR_BAD_REQUEST, "client-key", "client_key must be shorter than %d bytes",
            TASK_CLIENT_KEY_MAX);
    (void)err_arg(err, "member", "client_key");
    (void)err_arg(err, "max", "%d", TASK_CLIENT_KEY_MAX - 1);
    return err_fix(err, "use a UUID, or a hash of what makes the request unique");
}

int routes_refuse_query(const char *name, const char *value, const char *must, struct err *err)
{
    (void)err_set(err, ERR_BAD_REQUEST, "query", "%s= must be %s, not '%s'", name, must, value);
    (void)err_arg(err, "must", "%s", must);
    (void)err_arg(err, "field", "%s", name);
    return err_arg(err, "value", "%s", value);
}

int routes_query_number(struct http_request *request, const char *name, uint64_t fallback,
                        uint64_t *ret_number, struct err *err)
{
    const char *text = http_query(request, name);
    guint64 value = fallback;
    if (text && !g_ascii_string_to_unsigned(text, 10, 0, G_MAXINT64, &value, NULL))
        return routes_refuse_query(name, text, "a whole number from 0 on", err);
    *ret_number = value;
    return 0;
}

int routes_query_name(struct http_request *request, const char *name, char ret_value[MODEL_NAME_MAX],
                      struct err *err)
{
    const char *value = http_query(request, name);
    ret_value[0] = '\0';
    if (value && !model_name_is_valid(value)) {
        (void)routes_refuse_query(name, value, "a name", err);
        return err_fix(err, "give one as it is listed, without blanks and quotes");
    }
    if (value)
        (void)g_strlcpy(ret_value, value, MODEL_NAME_MAX);
    return 0;
}
