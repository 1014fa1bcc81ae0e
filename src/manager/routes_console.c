/* SPDX-License-Identifier: Apache-2.0 */
/* The console of a VM, which its host keeps: read, waited for, and typed into. */
#include <string.h>

#include "manager/agent_client.h"
#include "manager/inventory.h"
#include "manager/routes.h"

#define CALL_TIMEOUT_S 30
#define WAIT_MAX_MS 20000
/* Of the connections to one host that are there for users: more who wait are answered at once, and ask again.
 */
#define WAITING_MAX 16

struct console_call {
    struct manager *manager;
    struct http_request *request;
    char host[MODEL_NAME_MAX];
    bool is_waiting;
};

static struct console_call *call_new(struct manager *manager, struct http_request *request,
                                     const struct host *host)
{
    struct console_call *call = g_new0(struct console_call, 1);
    call->manager = manager;
    call->request = request;
    (void)g_strlcpy(call->host, host->name, sizeof call->host);
    return call;
}

static void answered(JsonObject *object, const struct err *err, void *user)
{
    struct console_call *call = user;
    struct host *host = inventory_find_host(call->manager->inventory, call->host);
    if (host && call->is_waiting)
        host->n_console_waits--;
    if (err_is_set(err)) {
        http_fail(call->request, err);
    } else {
        JsonObject *answer = object ? json_object_ref(object) : json_object_new();
        json_object_set_string_member(answer, "host", call->host);
        http_reply(call->request, 200, answer);
    }
    g_free(call);
}

/* The host that `host=` names, which the VM may have left; else the one that has it. */
static int find(struct manager *manager, struct http_request *request, struct vm_status *ret_vm,
                struct host **ret_host, struct err *err)
{
    char named[MODEL_NAME_MAX];
    if (routes_query_name(request, "host", named, err) ||
        inventory_get_vm(manager->inventory, http_param(request, "vm"), ret_vm, err))
        return -1;
    return inventory_get_host(manager->inventory, named[0] ? named : ret_vm->host, ret_host, err);
}

static int read_wait(struct http_request *request, uint64_t *ret_offset, uint64_t *ret_wait_ms,
                     struct err *err)
{
    if (routes_query_number(request, "offset", 0, ret_offset, err) ||
        routes_query_number(request, "wait_ms", 0, ret_wait_ms, err))
        return -1;
    if (*ret_wait_ms <= WAIT_MAX_MS)
        return 0;
    (void)err_set(err, ERR_BAD_REQUEST, "query", "wait_ms= must be at most %d", WAIT_MAX_MS);
    (void)err_arg(err, "field", "wait_ms");
    return err_arg(err, "max", "%d", WAIT_MAX_MS);
}

void route_vm_console(struct http_request *request, void *user)
{
    struct vm_status vm;
    struct host *host;
    struct err err = {0};
    uint64_t offset, wait_ms;
    if (read_wait(request, &offset, &wait_ms, &err) || find(user, request, &vm, &host, &err)) {
        http_fail(request, &err);
        return;
    }
    struct console_call *call = call_new(user, request, host);
    call->is_waiting = wait_ms && host->n_console_waits < WAITING_MAX;
    if (call->is_waiting)
        host->n_console_waits++;
    g_autofree char *wait =
        call->is_waiting ? g_strdup_printf("&wait_ms=%u", (unsigned)wait_ms) : g_strdup("");
    g_autofree char *path =
        g_strdup_printf("/v1/vms/%s/console?offset=%llu%s", vm.spec.uuid, (unsigned long long)offset, wait);
    agent_call_for_user(host, &(struct http_call){"GET", path, NULL, CALL_TIMEOUT_S + WAIT_MAX_MS / 1000},
                        answered, call);
}

void route_vm_type(struct http_request *request, void *user)
{
    static const char *const members[] = {"text", NULL};
    struct vm_status vm;
    struct host *host;
    struct err err = {0};
    JsonObject *body;
    const char *text;
    if (routes_body(request, members, &body, &err) || routes_text(body, "text", NULL, &text, &err) ||
        find(user, request, &vm, &host, &err)) {
        http_fail(request, &err);
        return;
    }
    JsonObject *typed = json_object_new();
    json_object_set_string_member(typed, "text", text);
    g_autofree char *path = g_strdup_printf("/v1/vms/%s/console", vm.spec.uuid);
    agent_call_for_user(host, &(struct http_call){"POST", path, typed, CALL_TIMEOUT_S}, answered,
                        call_new(user, request, host));
}
