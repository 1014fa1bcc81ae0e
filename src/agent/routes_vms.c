/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/routes_vms.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/agent.h"
#include "agent/autostart.h"
#include "agent/console.h"
#include "agent/facts.h"
#include "agent/routes_moves.h"
#include "agent/vm.h"
#include "agent/vm_process.h"
#include "base/cleanup.h"
#include "model/protocol.h"

#define CONSOLE_WAIT_MAX_MS 20000
#define STOP_DEFAULT_S 60
#define STOP_MAX_S 3600

/* "godwitd" and nobody else with a certificate of the same CA: agents hold such certificates too. */
#define MANAGER_NAME "godwitd"

/* Whatever version it speaks. */
static bool is_from_manager(struct http_request *request)
{
    const char *name = http_user(request);
    if (name && !strcmp(name, MANAGER_NAME))
        return true;
    struct err err;
    (void)err_set(&err, ERR_UNAUTHORIZED, "not-the-manager", "only the manager may call this agent");
    http_fail(request, &err);
    return false;
}

bool route_allowed(struct http_request *request)
{
    const struct agent *agent = http_server_user(request);
    const char *version = http_header(request, PROTOCOL_HEADER);
    guint64 theirs = 1;
    struct err err = {0};
    if (!is_from_manager(request))
        return false;
    if (version && !g_ascii_string_to_unsigned(version, 10, 1, UINT32_MAX, &theirs, NULL))
        (void)err_set(&err, ERR_BAD_REQUEST, "protocol-version",
                      PROTOCOL_HEADER ": must be a number from 1 on");
    else if (protocol_check((uint32_t)theirs, PROTOCOL, agent->config.name, &err) == 0)
        return true;
    http_fail(request, &err);
    return false;
}

static void reply_vm(struct http_request *request, struct vm *vm, int status)
{
    vm_refresh(vm);
    http_reply(request, status, vm_status_to_json(&vm->status));
}

struct vm *route_find_vm(struct http_request *request, struct agent *agent)
{
    const char *uuid = http_param(request, "uuid");
    struct vm *vm = vm_find(agent, uuid);
    if (vm)
        return vm;
    struct err err;
    (void)err_set(&err, ERR_NOT_FOUND, "vm-not-found", "host %s has no VM %s", agent->config.name, uuid);
    (void)err_arg(&err, "host", "%s", agent->config.name);
    (void)err_arg(&err, "vm", "%s", uuid);
    http_fail(request, &err);
    return NULL;
}

void route_host(struct http_request *request, void *user)
{
    struct host_facts facts;
    if (!is_from_manager(request))
        return;
    facts_now(user, &facts);
    http_reply(request, 200, host_facts_to_json(&facts));
}

/* The UUIDs of `except`, ends with NULL; g_strfreev. */
static int read_except(struct http_request *request, char ***ret_uuids, struct err *err)
{
    JsonObject *body;
    if (http_body(request, &body, err) < 0)
        return -1;
    JsonNode *node = json_object_get_member(body, "except");
    if (node && !JSON_NODE_HOLDS_ARRAY(node))
        return err_set(err, ERR_BAD_REQUEST, "member-type", "the member 'except' must be a list of UUIDs");
    JsonArray *list = node ? json_node_get_array(node) : NULL;
    g_autoptr(GStrvBuilder) builder = g_strv_builder_new();
    for (guint i = 0; list && i < json_array_get_length(list); i++) {
        JsonNode *element = json_array_get_element(list, i);
        bool is_text = json_node_get_value_type(element) == G_TYPE_STRING;
        if (!is_text || !model_uuid_is_valid(json_node_get_string(element))) {
            (void)err_set(err, ERR_BAD_REQUEST, "uuid-invalid", "except[%u]: a lower-case UUID is needed", i);
            return err_arg(err, "index", "%u", i);
        }
        g_strv_builder_add(builder, json_node_get_string(element));
    }
    *ret_uuids = g_strv_builder_end(builder);
    return 0;
}

/* Answered at once: how each start goes is seen at the VM. */
void route_autostart(struct http_request *request, void *user)
{
    g_auto(GStrv) except = NULL;
    struct err err = {0};
    if (!route_allowed(request))
        return;
    if (read_except(request, &except, &err) < 0) {
        http_fail(request, &err);
        return;
    }
    autostart_release(user, (const char *const *)except, NULL, NULL);
    http_reply(request, 202, NULL);
}

void route_vm_list(struct http_request *request, void *user)
{
    struct agent *agent = user;
    if (!route_allowed(request))
        return;
    JsonArray *list = json_array_new();
    GHashTableIter iter;
    gpointer value;
    g_hash_table_iter_init(&iter, agent->vms);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        struct vm *vm = value;
        vm_refresh(vm);
        json_array_add_object_element(list, vm_status_to_json(&vm->status));
    }
    JsonObject *object = json_object_new();
    json_object_set_array_member(object, "vms", list);
    json_object_set_array_member(object, "moves", route_moves_json(agent));
    http_reply(request, 200, object);
}

void route_vm_put(struct http_request *request, void *user)
{
    struct agent *agent = user;
    JsonObject *body;
    struct vm_spec spec;
    struct vm *vm;
    struct err err = {0};
    if (!route_allowed(request))
        return;
    const char *uuid = http_param(request, "uuid");
    bool is_new = !vm_find(agent, uuid);
    if (http_body(request, &body, &err) == 0 && vm_spec_from_json(body, &spec, &err) == 0) {
        if (!spec.uuid[0])
            g_strlcpy(spec.uuid, uuid, sizeof spec.uuid);
        if (strcmp(spec.uuid, uuid) != 0)
            (void)err_set(&err, ERR_BAD_REQUEST, "uuid-invalid", "uuid: differs from the one in the path");
        else if (vm_create(agent, &spec, &vm, &err) == 0) {
            reply_vm(request, vm, is_new ? 201 : 200);
            return;
        }
    }
    http_fail(request, &err);
}

void route_vm_get(struct http_request *request, void *user)
{
    struct vm *vm;
    if (route_allowed(request) && (vm = route_find_vm(request, user)))
        reply_vm(request, vm, 200);
}

void route_vm_patch(struct http_request *request, void *user)
{
    struct vm *vm;
    JsonObject *body;
    struct err err = {0};
    if (!route_allowed(request) || !(vm = route_find_vm(request, user)))
        return;
    if (http_body(request, &body, &err) < 0 || vm_set(vm, body, &err) < 0)
        http_fail(request, &err);
    else
        reply_vm(request, vm, 200);
}

void route_vm_delete(struct http_request *request, void *user)
{
    struct vm *vm;
    struct err err = {0};
    if (!route_allowed(request) || !(vm = route_find_vm(request, user)))
        return;
    if (vm_remove(vm, &err) < 0)
        http_fail(request, &err);
    else
        http_reply(request, 200, NULL);
}

static void on_verb(struct vm *vm, const struct err *err, void *user)
{
    if (err_is_set(err))
        http_fail(user, err);
    else
        reply_vm(user, vm, 200);
}

void route_vm_start(struct http_request *request, void *user)
{
    struct vm *vm;
    if (route_allowed(request) && (vm = route_find_vm(request, user)))
        vm_start(vm, on_verb, request);
}

static int read_stop(struct http_request *request, bool *ret_force, unsigned *ret_timeout_s, struct err *err)
{
    JsonObject *body;
    if (http_body(request, &body, err) < 0)
        return -1;
    gint64 timeout_s = STOP_DEFAULT_S;
    JsonObjectIter iter;
    const char *name;
    JsonNode *node;
    *ret_force = false;
    json_object_iter_init(&iter, body);
    while (json_object_iter_next(&iter, &name, &node)) {
        GType type = json_node_get_value_type(node);
        if (!strcmp(name, "force") && type == G_TYPE_BOOLEAN) {
            *ret_force = json_node_get_boolean(node);
        } else if (!strcmp(name, "force")) {
            return err_set(err, ERR_BAD_REQUEST, "member-type", "force: must be true or false");
        } else if (!strcmp(name, "timeout_s")) {
            timeout_s = type == G_TYPE_INT64 ? json_node_get_int(node) : 0;
        } else {
            (void)err_set(err, ERR_BAD_REQUEST, "unknown-member", "%s: members are force and timeout_s",
                          name);
            return err_arg(err, "member", "%s", name);
        }
    }
    if (timeout_s < 1 || timeout_s > STOP_MAX_S) {
        (void)err_set(err, ERR_BAD_REQUEST, "bad-timeout", "timeout_s: must be a whole number from 1 to %d",
                      STOP_MAX_S);
        return err_arg(err, "max", "%d", STOP_MAX_S);
    }
    *ret_timeout_s = (unsigned)timeout_s;
    return 0;
}

void route_vm_stop(struct http_request *request, void *user)
{
    struct vm *vm;
    bool force;
    unsigned timeout_s = 0;
    struct err err = {0};
    if (!route_allowed(request) || !(vm = route_find_vm(request, user)))
        return;
    if (read_stop(request, &force, &timeout_s, &err) < 0)
        http_fail(request, &err);
    else
        vm_stop(vm, force, timeout_s, on_verb, request);
}

void route_vm_balloon(struct http_request *request, void *user)
{
    struct vm *vm;
    struct err err = {0};
    JsonObject *body;
    if (!route_allowed(request) || !(vm = route_find_vm(request, user)))
        return;
    JsonNode *target = http_body(request, &body, &err) ? NULL : json_object_get_member(body, "target_mib");
    if (!err_is_set(&err) && (!target || json_node_get_value_type(target) != G_TYPE_INT64))
        (void)err_set(&err, ERR_BAD_REQUEST, "member-missing",
                      "the request needs the member 'target_mib', a number");
    if (err_is_set(&err))
        http_fail(request, &err);
    else
        vm_balloon(vm, (uint64_t)MAX(json_node_get_int(target), 0), on_verb, request);
}

void route_vm_pool(struct http_request *request, void *user)
{
    struct vm *vm;
    struct err err = {0};
    JsonObject *body;
    if (!route_allowed(request) || !(vm = route_find_vm(request, user)))
        return;
    JsonNode *pool = http_body(request, &body, &err) ? NULL : json_object_get_member(body, "pool");
    if (!err_is_set(&err) && (!pool || json_node_get_value_type(pool) != G_TYPE_STRING))
        (void)err_set(&err, ERR_BAD_REQUEST, "member-missing", "the request needs the member 'pool', a text");
    if (err_is_set(&err) || vm_set_pool(vm, json_node_get_string(pool), &err) < 0)
        http_fail(request, &err);
    else
        reply_vm(request, vm, 200);
}

static void reply_piece(struct agent *agent, const char *uuid, uint64_t offset, void *user)
{
    struct http_request *request = user;
    struct console_piece piece;
    struct err err = {0};
    if (console_read(agent, uuid, offset, &piece, &err) < 0) {
        http_fail(request, &err);
        return;
    }
    JsonObject *object = json_object_new();
    json_object_set_int_member(object, "offset", (gint64)piece.offset);
    json_object_set_int_member(object, "next", (gint64)piece.next);
    json_object_set_int_member(object, "start", (gint64)piece.start);
    json_object_set_int_member(object, "size", (gint64)piece.size);
    json_object_set_boolean_member(object, "here", piece.is_here);
    json_object_set_string_member(object, "text", piece.text);
    g_free(piece.text);
    http_reply(request, 200, object);
}

static int read_number(struct http_request *request, const char *name, guint64 max, guint64 *ret_number,
                       struct err *err)
{
    const char *text = http_query(request, name);
    *ret_number = 0;
    if (!text || g_ascii_string_to_unsigned(text, 10, 0, max, ret_number, NULL))
        return 0;
    (void)err_set(err, ERR_BAD_REQUEST, "query", "%s= must be a whole number from 0 to %" G_GUINT64_FORMAT,
                  name, max);
    (void)err_arg(err, "max", "%" G_GUINT64_FORMAT, max);
    return err_arg(err, "field", "%s", name);
}

/* Of a VM that left too: whoever followed it here reads the rest. */
void route_vm_console(struct http_request *request, void *user)
{
    struct agent *agent = user;
    struct err err = {0};
    guint64 offset, wait_ms;
    if (!route_allowed(request))
        return;
    const char *uuid = http_param(request, "uuid");
    if (!(model_uuid_is_valid(uuid) && console_has_log(agent, uuid)) && !route_find_vm(request, agent))
        return;
    if (read_number(request, "offset", G_MAXINT64, &offset, &err) < 0 ||
        read_number(request, "wait_ms", CONSOLE_WAIT_MAX_MS, &wait_ms, &err) < 0)
        http_fail(request, &err);
    else if (wait_ms)
        console_wait(agent, uuid, offset, (unsigned)wait_ms, reply_piece, request);
    else
        reply_piece(agent, uuid, offset, request);
}

static void typed(const struct console_taken *taken, const struct err *err, void *user)
{
    if (err_is_set(err)) {
        http_fail(user, err);
        return;
    }
    JsonObject *object = json_object_new();
    json_object_set_string_member(object, "outcome", console_outcome_name(taken->outcome));
    json_object_set_int_member(object, "taken", (gint64)taken->n_taken);
    json_object_set_int_member(object, "unsure", (gint64)taken->n_unsure);
    http_reply(user, 200, object);
}

void route_vm_type(struct http_request *request, void *user)
{
    struct vm *vm;
    struct err err = {0};
    JsonObject *body;
    if (!route_allowed(request) || !(vm = route_find_vm(request, user)))
        return;
    JsonNode *text = http_body(request, &body, &err) ? NULL : json_object_get_member(body, "text");
    if (!err_is_set(&err) && (!text || json_node_get_value_type(text) != G_TYPE_STRING))
        (void)err_set(&err, ERR_BAD_REQUEST, "member-missing", "the request needs the member 'text', a text");
    if (err_is_set(&err))
        http_fail(request, &err);
    else
        console_type(vm, json_node_get_string(text), strlen(json_node_get_string(text)), typed, request);
}
