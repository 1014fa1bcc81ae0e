/* SPDX-License-Identifier: Apache-2.0 */
/* VMs: the manager names them and finds their host, the agent does the work. */
#include <string.h>

#include "manager/admit.h"
#include "manager/agent_client.h"
#include "manager/claims.h"
#include "manager/cluster.h"
#include "manager/forward.h"
#include "manager/inventory.h"
#include "manager/maintenance.h"
#include "manager/pools.h"
#include "manager/routes.h"
#include "manager/settlements.h"
#include "manager/vm_events.h"

#define CALL_TIMEOUT_S 30
#define START_TIMEOUT_S 120
#define STOP_TIMEOUT_DEFAULT_S 60
#define STOP_TIMEOUT_MAX_S 3600

/* With the hosts that own it at the same time, which is never meant to be. */
JsonObject *routes_vm_json(struct manager *manager, const struct vm_status *vm)
{
    JsonObject *object = vm_status_to_json(vm);
    JsonArray *names = json_array_new();
    g_autoptr(GPtrArray) owners = claims_conflict(manager, vm->spec.uuid);
    for (guint i = 0; owners && i < owners->len; i++)
        json_array_add_string_element(names, owners->pdata[i]);
    json_object_set_array_member(object, "conflict", names);
    return object;
}

void route_vms_list(struct http_request *request, void *user)
{
    struct manager *manager = user;
    g_autoptr(GArray) vms = inventory_vms(manager->inventory);
    JsonArray *list = json_array_new();
    for (guint i = 0; i < vms->len; i++)
        json_array_add_object_element(list,
                                      routes_vm_json(manager, &g_array_index(vms, struct vm_status, i)));
    JsonObject *object = json_object_new();
    json_object_set_array_member(object, "vms", list);
    http_reply(request, 200, object);
}

void route_vm_show(struct http_request *request, void *user)
{
    struct manager *manager = user;
    struct vm_status vm;
    struct err err = {0};
    if (inventory_get_vm(manager->inventory, http_param(request, "vm"), &vm, &err))
        http_fail(request, &err);
    else
        http_reply(request, 200, routes_vm_json(manager, &vm));
}

/* ---- the VM of a request ---- */

/* The VM of the path and its host. `for_change`: no migration may hold it. */
static int find(struct manager *manager, struct http_request *request, bool for_change,
                struct vm_status *ret_vm, struct host **ret_host)
{
    struct err err = {0};
    if (!inventory_get_vm(manager->inventory, http_param(request, "vm"), ret_vm, &err) &&
        !inventory_get_host(manager->inventory, ret_vm->host, ret_host, &err) &&
        (!for_change || !admit_check(manager, ret_vm, &err)))
        return 0;
    http_fail(request, &err);
    return -1;
}

/* As find, for changes that only the one owner may make. */
static int find_owned(struct manager *manager, struct http_request *request, struct vm_status *ret_vm,
                      struct host **ret_host)
{
    struct err err = {0};
    if (find(manager, request, true, ret_vm, ret_host))
        return -1;
    if (!settlements_check(manager, ret_vm, &err))
        return 0;
    http_fail(request, &err);
    return -1;
}

void route_vm_remove(struct http_request *request, void *user)
{
    struct vm_status vm;
    struct host *host;
    if (find_owned(user, request, &vm, &host))
        return;
    g_autofree char *path = g_strdup_printf("/v1/vms/%s", vm.spec.uuid);
    agent_call_for_user(host, &(struct http_call){"DELETE", path, NULL, CALL_TIMEOUT_S}, forward_removed,
                        forward_new(user, request, host->name, vm.spec.uuid));
}

/* ---- calls that take room in a pool, or change what is taken ---- */

/* From now on the VM counts as one that is on, also for a manager that is started after us. */
static void note_starting(struct host *host, const char *uuid)
{
    const struct vm_status *known = g_hash_table_lookup(host->vms, uuid);
    if (!known || known->state != VM_OFF)
        return;
    struct vm_status starting = *known;
    starting.state = VM_STARTING;
    inventory_note_vm(host, &starting);
}

/* The manager itself says no: told as if the agent had said it. */
static void refuse_start(struct http_request *request, const struct host *host, const struct vm_status *vm,
                         const struct err *why)
{
    g_autoptr(JsonObject) document = vm_status_to_json(vm);
    const struct event event = {
        .user = http_user(request),
        .vm = vm->spec.name,
        .vm_uuid = vm->spec.uuid,
        .host = host->name,
        .error = why,
        .document = document,
    };
    events_emit(host->manager->events, EVENT_VM_START_FAILED, &event);
    http_fail(request, why);
}

void route_vm_start(struct http_request *request, void *user)
{
    struct manager *manager = user;
    struct vm_status vm;
    struct host *host;
    struct err err = {0};
    if (routes_no_members(request, &err)) {
        http_fail(request, &err);
        return;
    }
    if (find_owned(user, request, &vm, &host))
        return;
    if ((vm.state == VM_OFF &&
         (maintenance_check(host, vm.spec.name, &err) || cluster_check_start(host, vm.spec.name, &err))) ||
        pools_reserve(manager, &vm, vm.spec.pool, &err)) {
        refuse_start(request, host, &vm, &err);
        return;
    }
    struct forward *forward = forward_new(manager, request, host->name, vm.spec.uuid);
    forward->failed = EVENT_VM_START_FAILED;
    note_starting(host, vm.spec.uuid);
    pools_tell(manager, host->name);
    g_autofree char *path = g_strdup_printf("/v1/vms/%s/start", vm.spec.uuid);
    agent_call_for_user(host, &(struct http_call){"POST", path, NULL, START_TIMEOUT_S}, forward_placed,
                        forward);
}

static int read_pool(struct http_request *request, const char **ret_pool, struct err *err)
{
    static const char *const members[] = {"pool", NULL};
    JsonObject *body;
    const char *pool;
    if (routes_body(request, members, &body, err) || routes_text(body, "pool", NULL, &pool, err))
        return -1;
    *ret_pool = pool_path_or_root(pool);
    return 0;
}

void route_vm_pool(struct http_request *request, void *user)
{
    struct manager *manager = user;
    struct vm_status vm;
    struct host *host;
    struct err err = {0};
    const char *pool;
    if (read_pool(request, &pool, &err)) {
        http_fail(request, &err);
        return;
    }
    if (find_owned(user, request, &vm, &host))
        return;
    const struct vm_status *known = g_hash_table_lookup(host->vms, vm.spec.uuid);
    bool is_off = known && known->state == VM_OFF;
    if (pools_check_exists(manager, pool, &err) ||
        (is_off ? pools_hold(manager, &vm, pool, &err) : pools_reserve(manager, &vm, pool, &err))) {
        http_fail(request, &err);
        return;
    }
    JsonObject *body = json_object_new();
    json_object_set_string_member(body, "pool", pool);
    g_autofree char *path = g_strdup_printf("/v1/vms/%s/pool", vm.spec.uuid);
    struct forward *forward = forward_new(manager, request, host->name, vm.spec.uuid);
    forward->done = EVENT_VM_POOL_CHANGED;
    forward->detail = g_strdup(*pool ? pool : "/");
    agent_call_for_user(host, &(struct http_call){"PUT", path, body, CALL_TIMEOUT_S}, forward_placed,
                        forward);
}

static int read_stop(struct http_request *request, bool *ret_force, gint64 *ret_timeout_s, struct err *err)
{
    static const char *const members[] = {"force", "timeout_s", NULL};
    JsonObject *body;
    if (routes_body(request, members, &body, err))
        return -1;
    JsonNode *force = json_object_get_member(body, "force");
    JsonNode *timeout = json_object_get_member(body, "timeout_s");
    if (force && json_node_get_value_type(force) != G_TYPE_BOOLEAN)
        return routes_refuse_member("force", "true or false", err);
    *ret_force = force && json_node_get_boolean(force);
    *ret_timeout_s = STOP_TIMEOUT_DEFAULT_S;
    if (timeout)
        *ret_timeout_s = json_node_get_value_type(timeout) == G_TYPE_INT64 ? json_node_get_int(timeout) : 0;
    if (*ret_timeout_s >= 1 && *ret_timeout_s <= STOP_TIMEOUT_MAX_S)
        return 0;
    err_set(err, ERR_BAD_REQUEST, "bad-timeout", "timeout_s must be a whole number from 1 to %d",
            STOP_TIMEOUT_MAX_S);
    (void)err_arg(err, "member", "timeout_s");
    (void)err_arg(err, "max", "%d", STOP_TIMEOUT_MAX_S);
    return err_fix(err, "give seconds, or \"force\": true to switch the VM off at once");
}

void route_vm_stop(struct http_request *request, void *user)
{
    struct vm_status vm;
    struct host *host;
    struct err err = {0};
    bool force = false;
    gint64 timeout_s = 0;
    if (read_stop(request, &force, &timeout_s, &err)) {
        http_fail(request, &err);
        return;
    }
    if (find(user, request, true, &vm, &host))
        return;
    JsonObject *body = json_object_new();
    json_object_set_boolean_member(body, "force", force);
    json_object_set_int_member(body, "timeout_s", timeout_s);
    g_autofree char *path = g_strdup_printf("/v1/vms/%s/stop", vm.spec.uuid);
    struct forward *forward = forward_new(user, request, host->name, vm.spec.uuid);
    forward->failed = EVENT_VM_STOP_FAILED;
    if (vm.state != VM_OFF)
        vm_events_tell(host, EVENT_VM_STOPPING, &vm, force ? "switched off" : "shut down", NULL);
    agent_call_for_user(host, &(struct http_call){"POST", path, body, (unsigned)timeout_s + CALL_TIMEOUT_S},
                        forward_status, forward);
}

void route_vm_balloon(struct http_request *request, void *user)
{
    static const char *const members[] = {"target_mib", NULL};
    struct vm_status vm;
    struct host *host;
    JsonObject *body;
    struct err err = {0};
    JsonNode *target =
        routes_body(request, members, &body, &err) ? NULL : json_object_get_member(body, "target_mib");
    if (!err_is_set(&err) && (!target || json_node_get_value_type(target) != G_TYPE_INT64))
        (void)(target ? routes_refuse_member("target_mib", "a whole number of MiB", &err)
                      : routes_member_missing("target_mib", &err));
    if (err_is_set(&err)) {
        http_fail(request, &err);
        return;
    }
    if (find(user, request, true, &vm, &host))
        return;
    JsonObject *asked = json_object_new();
    json_object_set_int_member(asked, "target_mib", json_node_get_int(target));
    g_autofree char *path = g_strdup_printf("/v1/vms/%s/balloon", vm.spec.uuid);
    agent_call_for_user(host, &(struct http_call){"POST", path, asked, CALL_TIMEOUT_S}, forward_status,
                        forward_new(user, request, host->name, vm.spec.uuid));
}

/* ---- creation and change ---- */

static bool has_mac(const struct vm_spec *spec, const char *mac)
{
    for (uint32_t i = 0; spec && i < spec->n_nics; i++)
        if (!strcmp(spec->nics[i].mac, mac))
            return true;
    return false;
}

/* With a client key everything that is made here follows from it: a call that is repeated because its answer
 * was lost asks the agent for the same VM again. */
static void new_mac(const char *key, uint32_t nic, unsigned attempt, char mac[MODEL_MAC_SIZE])
{
    g_autofree char *seed = g_strdup_printf("mac/%s/%u/%u", key, nic, attempt);
    if (key[0])
        model_mac_from(seed, mac);
    else
        model_mac_new(mac);
}

/* `own`: what the VM is now, whose addresses it may keep; NULL for a new one. A network port that comes
 * without an address keeps the one of its place. */
static void fill_macs(struct inventory *inventory, const char *key, struct vm_spec *spec,
                      const struct vm_spec *own)
{
    for (uint32_t i = 0; i < spec->n_nics; i++) {
        char *mac = spec->nics[i].mac;
        if (mac[0])
            continue;
        if (own && i < own->n_nics && !has_mac(spec, own->nics[i].mac)) {
            g_strlcpy(mac, own->nics[i].mac, MODEL_MAC_SIZE);
            continue;
        }
        char fresh[MODEL_MAC_SIZE];
        unsigned attempt = 0;
        do
            new_mac(key, i, attempt++, fresh);
        while (has_mac(spec, fresh) || inventory_has_mac(inventory, fresh));
        g_strlcpy(mac, fresh, MODEL_MAC_SIZE);
    }
}

/* What its host's agent knows, which may be older. */
static void fill_hardware(const struct host *host, struct vm_spec *spec)
{
    if (!spec->hardware)
        spec->hardware = MIN(VM_HARDWARE_NOW, host->facts.hardware);
}

static void fill_uuid(const char *key, struct vm_spec *spec)
{
    g_autofree char *seed = g_strdup_printf("vm/%s", key);
    if (key[0])
        model_uuid_from(seed, spec->uuid);
    else
        model_uuid_new(spec->uuid);
}

static int check_macs(struct inventory *inventory, const struct vm_spec *spec, const struct vm_spec *own,
                      struct err *err)
{
    for (uint32_t i = 0; i < spec->n_nics; i++) {
        const char *mac = spec->nics[i].mac;
        if (mac[0] && !has_mac(own, mac) && inventory_has_mac(inventory, mac)) {
            (void)err_set(err, ERR_REFUSED, "mac-in-use", "another VM has the MAC address %s", mac);
            (void)err_arg(err, "mac", "%s", mac);
            return err_fix(err, "leave mac out to get a free one");
        }
    }
    return 0;
}

static int check_name(struct inventory *inventory, const char *name, struct err *err)
{
    if (!inventory_has_vm_named(inventory, name))
        return 0;
    (void)err_set(err, ERR_REFUSED, "vm-exists", "there is a VM with the name '%s' already", name);
    (void)err_arg(err, "vm", "%s", name);
    return err_fix(err, "choose another name");
}

/* The VM that this client made before under the same key, as it is now. */
static bool is_made(struct manager *manager, const char *key, struct vm_status *ret_vm)
{
    struct vm_spec spec;
    fill_uuid(key, &spec);
    return key[0] && !inventory_get_vm(manager->inventory, spec.uuid, ret_vm, NULL);
}

static int read_create(struct manager *manager, JsonObject *body, struct vm_spec *ret_spec,
                       struct host **ret_host, struct err *err)
{
    const char *host;
    if (routes_text(body, "host", NULL, &host, err))
        return -1;
    JsonNode *spec = json_object_get_member(body, "spec");
    if (!spec)
        return routes_member_missing("spec", err);
    if (!JSON_NODE_HOLDS_OBJECT(spec))
        return routes_refuse_member("spec", "an object", err);
    if (vm_spec_from_json(json_node_get_object(spec), ret_spec, err)) {
        (void)err_arg(err, "member", "spec");
        return err_prefix(err, "spec");
    }
    if (ret_spec->uuid[0])
        return err_set(err, ERR_BAD_REQUEST, "uuid-invalid",
                       "spec: the uuid is made by the manager: leave it out");
    if (vm_spec_check_new(ret_spec, err) || check_name(manager->inventory, ret_spec->name, err) ||
        check_macs(manager->inventory, ret_spec, NULL, err) ||
        pools_check_exists(manager, ret_spec->pool, err))
        return -1;
    if (inventory_get_host(manager->inventory, host, ret_host, err))
        return -1;
    return maintenance_check(*ret_host, ret_spec->name, err);
}

void route_vm_create(struct http_request *request, void *user)
{
    static const char *const members[] = {"host", "spec", "client_key", NULL};
    struct manager *manager = user;
    struct vm_spec spec;
    struct vm_status made;
    struct host *host;
    JsonObject *body;
    const char *key;
    struct err err = {0};
    if (routes_body(request, members, &body, &err) || routes_client_key(body, &key, &err)) {
        http_fail(request, &err);
        return;
    }
    if (is_made(manager, key, &made)) {
        http_reply(request, 200, routes_vm_json(manager, &made));
        return;
    }
    if (read_create(manager, body, &spec, &host, &err)) {
        http_fail(request, &err);
        return;
    }
    fill_uuid(key, &spec);
    fill_macs(manager->inventory, key, &spec, NULL);
    fill_hardware(host, &spec);
    struct forward *forward = forward_new(manager, request, host->name, spec.uuid);
    forward->status = 201;
    g_autofree char *path = g_strdup_printf("/v1/vms/%s", spec.uuid);
    agent_call_for_user(host, &(struct http_call){"PUT", path, vm_spec_to_lean_json(&spec), CALL_TIMEOUT_S},
                        forward_status, forward);
}

/* What the agent is asked for: the same members, and addresses for network ports that came without. */
static int read_change(struct manager *manager, struct http_request *request, const struct vm_spec *own,
                       JsonObject **ret_changes, struct err *err)
{
    JsonObject *body;
    struct vm_spec changed = *own;
    if (http_body(request, &body, err))
        return -1;
    if (json_object_has_member(body, "pool")) {
        err_set(err, ERR_BAD_REQUEST, "unknown-member",
                "pool has a call of its own, which asks for room there");
        (void)err_arg(err, "member", "pool");
        return err_fix(err, "POST /v1/vms/%s/pool, or: godwit pool assign POOL %s", own->name, own->name);
    }
    if (vm_spec_change(&changed, body, err) ||
        (strcmp(changed.name, own->name) != 0 && check_name(manager->inventory, changed.name, err)) ||
        check_macs(manager->inventory, &changed, own, err))
        return -1;
    fill_macs(manager->inventory, "", &changed, own);
    g_autoptr(JsonObject) whole = vm_spec_to_json(&changed);
    g_autoptr(GList) members = json_object_get_members(body);
    *ret_changes = json_object_new();
    for (GList *at = members; at; at = at->next)
        json_object_set_member(*ret_changes, at->data, json_object_dup_member(whole, at->data));
    return 0;
}

/* A new name is an event of its own. */
static void tell_change(struct forward *forward, const struct vm_spec *before, JsonObject *changes)
{
    g_autoptr(GString) names = g_string_new(NULL);
    g_autoptr(GList) members = json_object_get_members(changes);
    for (GList *at = members; at; at = at->next)
        if (strcmp(at->data, "name") != 0)
            g_string_append_printf(names, "%s%s", names->len ? ", " : "", (const char *)at->data);
    (void)g_strlcpy(forward->old_name, before->name, sizeof forward->old_name);
    forward->done = names->len ? EVENT_VM_RECONFIGURED : EVENT_NONE;
    forward->detail = g_strdup(names->str);
}

void route_vm_set(struct http_request *request, void *user)
{
    struct vm_status vm;
    struct host *host;
    JsonObject *changes = NULL;
    struct err err = {0};
    if (find(user, request, true, &vm, &host))
        return;
    if (read_change(user, request, &vm.spec, &changes, &err)) {
        http_fail(request, &err);
        return;
    }
    if (pools_hold(user, &vm, vm.spec.pool, &err)) {
        json_object_unref(changes);
        http_fail(request, &err);
        return;
    }
    g_autofree char *path = g_strdup_printf("/v1/vms/%s", vm.spec.uuid);
    struct forward *forward = forward_new(user, request, host->name, vm.spec.uuid);
    tell_change(forward, &vm.spec, changes);
    agent_call_for_user(host, &(struct http_call){"PATCH", path, changes, CALL_TIMEOUT_S}, forward_placed,
                        forward);
}
