/* SPDX-License-Identifier: Apache-2.0 */
#include "manager/forward.h"

#include <string.h>

#include "manager/inventory.h"
#include "manager/pools.h"
#include "manager/routes.h"
#include "manager/vm_events.h"

struct forward *forward_new(struct manager *manager, struct http_request *request, const char *host,
                            const char *uuid)
{
    struct forward *forward = g_new0(struct forward, 1);
    forward->manager = manager;
    forward->request = request;
    forward->status = 200;
    (void)g_strlcpy(forward->host, host, sizeof forward->host);
    (void)g_strlcpy(forward->uuid, uuid, sizeof forward->uuid);
    vm_events_asked_by(manager->inventory, uuid, http_user(request));
    return forward;
}

static void forward_free(struct forward *forward)
{
    vm_events_asked_by(forward->manager->inventory, forward->uuid, "");
    g_free(forward->detail);
    g_free(forward);
}

static struct host *host_of(const struct forward *forward)
{
    return inventory_find_host(forward->manager->inventory, forward->host);
}

static void tell_success(const struct forward *forward, const struct host *host, const struct vm_status *vm)
{
    if (forward->old_name[0] && strcmp(forward->old_name, vm->spec.name) != 0)
        vm_events_tell(host, EVENT_VM_RENAMED, vm, forward->old_name, NULL);
    if (forward->done != EVENT_NONE)
        vm_events_tell(host, forward->done, vm, forward->detail, NULL);
}

static void fail(struct forward *forward, const struct err *err)
{
    const struct host *host = host_of(forward);
    const struct vm_status *vm = host ? g_hash_table_lookup(host->vms, forward->uuid) : NULL;
    /* A manager that is being stopped does not know what came of it. */
    if (vm && forward->failed != EVENT_NONE && err->code != ERR_CANCELLED)
        vm_events_tell(host, forward->failed, vm, NULL, err);
    http_fail(forward->request, err);
    forward_free(forward);
}

/* Cached, so that the next request of the same client sees it. */
void forward_status(JsonObject *object, const struct err *call_err, void *user)
{
    struct forward *forward = user;
    struct host *host = host_of(forward);
    struct err err = *call_err;
    struct vm_status vm;
    if (!err_is_set(&err) && !object) {
        err_set(&err, ERR_CORRUPT, "agent-answer", "host %s sent no status", forward->host);
        (void)err_arg(&err, "host", "%s", forward->host);
    }
    if (err_is_set(&err) || vm_status_from_json(object, &vm, &err)) {
        fail(forward, &err);
        return;
    }
    if (host)
        inventory_note_vm(host, &vm);
    (void)g_strlcpy(vm.host, forward->host, sizeof vm.host);
    if (host)
        tell_success(forward, host, &vm);
    JsonObject *answer = routes_vm_json(forward->manager, &vm);
    if (json_object_has_member(object, "warnings"))
        json_object_set_member(answer, "warnings", json_object_dup_member(object, "warnings"));
    http_reply(forward->request, forward->status, answer);
    forward_free(forward);
}

/* The inventory shows what came of it, or goes on counting the VM while its host does not answer. */
static void looked_again(const struct err *err, void *user)
{
    struct forward *forward = user;
    (void)err;
    pools_release(forward->manager, forward->uuid);
    struct err why = forward->err;
    fail(forward, &why);
}

void forward_placed(JsonObject *object, const struct err *err, void *user)
{
    struct forward *forward = user;
    struct manager *manager = forward->manager;
    struct host *host = host_of(forward);
    if (err_is_set(err) && host && host->client) {
        forward->err = *err;
        inventory_refresh(host, looked_again, forward);
        return;
    }
    g_autofree char *uuid = g_strdup(forward->uuid);
    forward_status(object, err, forward);
    pools_release(manager, uuid);
}

void forward_removed(JsonObject *object, const struct err *err, void *user)
{
    (void)object;
    struct forward *forward = user;
    struct host *host = host_of(forward);
    if (err_is_set(err)) {
        fail(forward, err);
        return;
    }
    if (host)
        inventory_forget_vm(host, forward->uuid);
    http_reply(forward->request, 200, NULL);
    forward_free(forward);
}
