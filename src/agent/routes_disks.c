/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/routes_disks.h"

#include "agent/routes_vms.h"
#include "agent/vm.h"
#include "agent/vm_disks.h"
#include "agent/vm_process.h"
#include "model/json.h"

/* The VM of the path and the body; NULL: answered. */
static struct vm *begin(struct http_request *request, struct agent *agent, JsonObject **ret_body)
{
    struct vm *vm;
    struct err err = {0};
    if (!route_allowed(request) || !(vm = route_find_vm(request, agent)))
        return NULL;
    if (http_body(request, ret_body, &err) == 0)
        return vm;
    http_fail(request, &err);
    return NULL;
}

static JsonObject *status_of(struct vm *vm)
{
    vm_refresh(vm);
    return vm_status_to_json(&vm->status);
}

static void on_change(struct vm *vm, const struct err *err, void *user)
{
    if (err_is_set(err))
        http_fail(user, err);
    else
        http_reply(user, 200, status_of(vm));
}

static void on_added(struct vm *vm, const struct err *err, void *user)
{
    if (err_is_set(err)) {
        http_fail(user, err);
        return;
    }
    JsonObject *object = status_of(vm);
    json_object_set_array_member(object, "warnings", vm_disks_warnings(vm));
    http_reply(user, 200, object);
}

void route_disk_list(struct http_request *request, void *user)
{
    struct vm *vm;
    if (route_allowed(request) && (vm = route_find_vm(request, user)))
        http_reply(request, 200, vm_disks_list(vm));
}

void route_disk_add(struct http_request *request, void *user)
{
    JsonObject *body;
    struct vm_disk_wish wish;
    struct err err = {0};
    struct vm *vm = begin(request, user, &body);
    if (!vm)
        return;
    if (vm_disk_wish_from_json(body, &wish, &err) < 0)
        http_fail(request, &err);
    else
        vm_disks_add_wish(vm, &wish, on_added, request);
}

void route_disk_detach(struct http_request *request, void *user)
{
    JsonObject *body;
    struct vm *vm = begin(request, user, &body);
    if (vm)
        vm_disks_detach(vm, http_param(request, "disk"), model_flag(body, "delete_file"), on_change, request);
}

void route_disk_resize(struct http_request *request, void *user)
{
    JsonObject *body;
    struct err err = {0};
    struct vm *vm = begin(request, user, &body);
    if (!vm)
        return;
    uint64_t bytes = (uint64_t)MAX(model_int(body, "size_bytes", 0), 0);
    if (vm_disk_check_size("size_bytes", bytes, &err) < 0)
        http_fail(request, &err);
    else
        vm_disks_resize(vm, http_param(request, "disk"), bytes, on_change, request);
}

void route_disk_eject(struct http_request *request, void *user)
{
    JsonObject *body;
    struct vm *vm = begin(request, user, &body);
    if (vm)
        vm_disks_change_medium(vm, http_param(request, "disk"), NULL, model_flag(body, "force"), on_change,
                               request);
}

void route_disk_insert(struct http_request *request, void *user)
{
    JsonObject *body;
    struct vm_disk medium;
    struct err err = {0};
    struct vm *vm = begin(request, user, &body);
    if (!vm)
        return;
    if (vm_disk_medium_from_json(body, &medium, &err) < 0)
        http_fail(request, &err);
    else
        vm_disks_change_medium(vm, http_param(request, "disk"), &medium, model_flag(body, "force"), on_change,
                               request);
}
