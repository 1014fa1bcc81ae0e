/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "manager/auth.h"
#include "manager/inventory.h"
#include "manager/maintenance.h"
#include "manager/routes.h"
#include "manager/task.h"

#define DEFAULT_AGENT_PORT 8443

static void add_host_json(struct host *host, void *user)
{
    json_array_add_object_element(user, inventory_host_json(host));
}

void route_hosts_list(struct http_request *request, void *user)
{
    struct manager *manager = user;
    JsonArray *hosts = json_array_new();
    inventory_each_host(manager->inventory, add_host_json, hosts);
    JsonObject *object = json_object_new();
    json_object_set_array_member(object, "hosts", hosts);
    http_reply(request, 200, object);
}

static int take_port(JsonObject *body, uint16_t *ret_port, struct err *err)
{
    JsonNode *node = json_object_get_member(body, "port");
    *ret_port = DEFAULT_AGENT_PORT;
    if (!node)
        return 0;
    gint64 port = json_node_get_value_type(node) == G_TYPE_INT64 ? json_node_get_int(node) : 0;
    if (port < 1 || port > 65535) {
        (void)err_set(err, ERR_BAD_REQUEST, "port", "port must be a number from 1 to 65535");
        return err_arg(err, "member", "port");
    }
    *ret_port = (uint16_t)port;
    return 0;
}

static bool is_address(const char *text)
{
    size_t length = strlen(text);
    if (!length || length >= MODEL_ADDRESS_MAX)
        return false;
    if (strchr(text, ':'))
        return g_hostname_is_ip_address(text);
    return strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-") == length;
}

int routes_address(JsonObject *body, const char **ret_address, uint16_t *ret_port, struct err *err)
{
    if (routes_text(body, "address", NULL, ret_address, err) || take_port(body, ret_port, err))
        return -1;
    if (is_address(*ret_address))
        return 0;
    (void)err_set(err, ERR_BAD_REQUEST, "address",
                  "address must be a host name or a numeric address, not '%s'", *ret_address);
    (void)err_arg(err, "member", "address");
    (void)err_arg(err, "address", "%s", *ret_address);
    return err_fix(err, "give it without port and brackets, like 198.18.1.2 or fd00::2");
}

int routes_host_name(const char *name, struct err *err)
{
    if (routes_name(name, err))
        return -1;
    /* Agents obey whoever has the manager's name. */
    if (strcmp(name, MANAGER_NAME) != 0)
        return 0;
    (void)err_set(err, ERR_BAD_REQUEST, "name", "'%s' is the manager's own name", name);
    (void)err_arg(err, "name", "%s", name);
    return err_fix(err, "choose another name for the host");
}

static int add_host(struct manager *manager, struct http_request *request, JsonObject **ret_object,
                    struct err *err)
{
    static const char *const members[] = {"name", "address", "port", NULL};
    JsonObject *body;
    const char *name;
    const char *address;
    uint16_t port;
    char token[AUTH_ENROLMENT_SIZE];
    if (routes_body(request, members, &body, err) || routes_text(body, "name", NULL, &name, err) ||
        routes_address(body, &address, &port, err))
        return -1;
    const struct host_entry entry = {name, address, port, http_user(request)};
    if (routes_host_name(name, err) || inventory_add_host(manager, &entry, err) ||
        auth_enrolment_new(manager, name, token, err))
        return -1;
    *ret_object = json_object_new();
    json_object_set_object_member(*ret_object, "host",
                                  inventory_host_json(inventory_find_host(manager->inventory, name)));
    json_object_set_string_member(*ret_object, "token", token);
    return 0;
}

void route_host_add(struct http_request *request, void *user)
{
    struct err err = {0};
    JsonObject *object = NULL;
    if (add_host(user, request, &object, &err))
        http_fail(request, &err);
    else
        http_reply(request, 201, object);
}

void route_host_show(struct http_request *request, void *user)
{
    struct manager *manager = user;
    struct err err = {0};
    struct host *host;
    if (inventory_get_host(manager->inventory, http_param(request, "host"), &host, &err))
        http_fail(request, &err);
    else
        http_reply(request, 200, inventory_host_json(host));
}

/* A host that answers must not be taken away from under its VMs. */
static int check_removal(struct host *host, struct err *err)
{
    unsigned n_vms = g_hash_table_size(host->vms);
    if (host->state != HOST_CONNECTED || !n_vms)
        return 0;
    err_set(err, ERR_REFUSED, "host-in-use", "host '%s' has %u VM%s", host->name, n_vms,
            n_vms == 1 ? "" : "s");
    (void)err_arg(err, "host", "%s", host->name);
    (void)err_arg(err, "n_vms", "%u", n_vms);
    return err_fix(err, "move or remove its VMs first");
}

void route_host_remove(struct http_request *request, void *user)
{
    struct manager *manager = user;
    struct err err = {0};
    struct host *host;
    if (inventory_get_host(manager->inventory, http_param(request, "host"), &host, &err) ||
        check_removal(host, &err)) {
        http_fail(request, &err);
        return;
    }
    tasks_host_removed(manager, host->name);
    if (inventory_remove_host(host, http_user(request), &err))
        http_fail(request, &err);
    else
        http_reply(request, 200, NULL);
}

static void set_maintenance(struct http_request *request, struct manager *manager, bool in_maintenance)
{
    struct err err = {0};
    struct host *host;
    if (routes_no_members(request, &err) ||
        inventory_get_host(manager->inventory, http_param(request, "host"), &host, &err) ||
        maintenance_set(host, in_maintenance, http_user(request), &err))
        http_fail(request, &err);
    else
        http_reply(request, 200, inventory_host_json(host));
}

void route_maintenance_enter(struct http_request *request, void *user)
{
    set_maintenance(request, user, true);
}

void route_maintenance_exit(struct http_request *request, void *user)
{
    set_maintenance(request, user, false);
}
