/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The balloon: how much of its memory a guest has. The guest's driver gives pages back and takes them again
 * at its own pace; target and state are in the device, and move with it. A page that was given back is a hole
 * in the memory file, which a move makes at the destination too.
 */
#include "agent/vm.h"

#include "agent/vm_process.h"
#include "base/log.h"
#include "model/json.h"
#include "qemu/qmp.h"

#define MIB (1ull << 20)

void vm_balloon_note(struct vm *vm, uint64_t bytes)
{
    vm->status.balloon_mib = bytes / MIB;
}

static void on_query(JsonNode *result, const struct err *err, void *user)
{
    struct vm *vm = user;
    if (!vm->process || err_is_set(err) || !result || !JSON_NODE_HOLDS_OBJECT(result))
        return; /* the next change tells */
    JsonObject *object = json_node_get_object(result);
    vm_balloon_note(vm, (uint64_t)model_int(object, "actual", 0));
}

void vm_balloon_ask(struct vm *vm)
{
    if (vm->process && vm->status.spec.hardware >= 1)
        vm_qmp(vm, "query-balloon", NULL, -1, on_query, vm);
}

static int check(const struct vm *vm, uint64_t target_mib, struct err *err)
{
    const struct vm_spec *spec = &vm->status.spec;
    if (vm_check_free(vm, err) < 0)
        return -1;
    if (target_mib < VM_BALLOON_MIN_MIB || target_mib > spec->memory_mib) {
        (void)err_set(err, ERR_BAD_REQUEST, "balloon-target",
                      "target_mib must be from %u to %u, the memory of VM %s", VM_BALLOON_MIN_MIB,
                      spec->memory_mib, spec->name);
        (void)err_arg(err, "min", "%u", VM_BALLOON_MIN_MIB);
        (void)err_arg(err, "max", "%u", spec->memory_mib);
        return err_arg(err, "vm", "%s", spec->name);
    }
    if (vm->status.state != VM_RUNNING) {
        (void)err_set(err, ERR_REFUSED, "vm-not-running", "VM %s is %s: its guest can give no memory",
                      spec->name, vm_state_name(vm->status.state));
        (void)err_arg(err, "vm", "%s", spec->name);
        (void)err_arg(err, "state", "%s", vm_state_name(vm->status.state));
        return err_fix(err, "start it: godwit vm start %s", spec->name);
    }
    if (spec->hardware >= 1)
        return 0;
    (void)err_set(err, ERR_REFUSED, "balloon-missing",
                  "VM %s has no balloon: its virtual hardware is of version 0", spec->name);
    (void)err_arg(err, "vm", "%s", spec->name);
    return err_fix(err, "switch it off and give it newer hardware: godwit vm set %s --hardware 1",
                   spec->name);
}

struct asked {
    struct vm *vm;
    struct vm_wait wait;
};

static void on_balloon(JsonNode *result, const struct err *err, void *user)
{
    struct asked *asked = user;
    (void)result;
    vm_wait_end(&asked->wait, asked->vm, err);
    g_free(asked);
}

void vm_balloon(struct vm *vm, uint64_t target_mib, vm_done done, void *user)
{
    struct err err = {0};
    if (check(vm, target_mib, &err) < 0) {
        done(vm, &err, user);
        return;
    }
    struct asked *asked = g_new(struct asked, 1);
    *asked = (struct asked){.vm = vm, .wait = {.done = done, .user = user}};
    JsonObject *arguments = json_object_new();
    json_object_set_int_member(arguments, "value", (gint64)(target_mib * MIB));
    log_info("VM %s: its guest is asked to do with %llu MiB", vm->status.spec.name,
             (unsigned long long)target_mib);
    vm_qmp(vm, "balloon", arguments, -1, on_balloon, asked);
}
