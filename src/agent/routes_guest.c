/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/routes_guest.h"

#include "agent/guest_agent.h"
#include "agent/routes_vms.h"
#include "model/json.h"

static void on_visited(const struct guest_report *report, void *user)
{
    http_reply(user, 200, guest_report_to_json(report));
}

static int check_reachable(const struct vm *vm, struct err *err)
{
    if (vm->status.spec.guest_agent && vm->qmp && vm->status.state == VM_RUNNING)
        return 0;
    (void)err_set(err, ERR_REFUSED, "guest-unreachable", "VM %s is %s and has %s guest agent's port",
                  vm->status.spec.name, vm_state_name(vm->status.state),
                  vm->status.spec.guest_agent ? "a" : "no");
    (void)err_arg(err, "vm", "%s", vm->status.spec.name);
    (void)err_arg(err, "state", "%s", vm_state_name(vm->status.state));
    return err_arg(err, "has_port", "%s", vm->status.spec.guest_agent ? "true" : "false");
}

void route_vm_guest(struct http_request *request, void *user)
{
    struct vm *vm;
    JsonObject *body;
    struct guest_request wish;
    struct err err = {0};
    if (!route_allowed(request) || !(vm = route_find_vm(request, user)))
        return;
    if (http_body(request, &body, &err) < 0 || guest_request_from_json(body, &wish, &err) < 0 ||
        check_reachable(vm, &err) < 0)
        http_fail(request, &err);
    else
        guest_agent_visit(vm, &wish, on_visited, request);
}
