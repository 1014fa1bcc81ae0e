/* SPDX-License-Identifier: Apache-2.0 */
#include "manager/vm_events.h"

#include <string.h>

#include "manager/inventory_private.h"

void vm_events_asked_by(struct inventory *inventory, const char *uuid, const char *user)
{
    if (user[0])
        g_hash_table_insert(inventory->askers, g_strdup(uuid), g_strdup(user));
    else
        (void)g_hash_table_remove(inventory->askers, uuid);
}

static const char *asker_of(const struct host *host, const char *uuid)
{
    return g_hash_table_lookup(host->manager->inventory->askers, uuid);
}

void vm_events_tell(const struct host *host, enum event_type type, const struct vm_status *vm,
                    const char *detail, const struct err *error)
{
    g_autoptr(JsonObject) document = vm_status_to_json(vm);
    const struct event event = {
        .user = asker_of(host, vm->spec.uuid),
        .vm = vm->spec.name,
        .vm_uuid = vm->spec.uuid,
        .host = host->name,
        .task = vm->move,
        .detail = detail,
        .error = error,
        .document = document,
    };
    events_emit(host->manager->events, type, &event);
}

struct looking {
    const struct host *host;
    const char *uuid;
    bool is_found;
};

static void look(struct host *host, void *user)
{
    struct looking *looking = user;
    looking->is_found |= host != looking->host && g_hash_table_contains(host->vms, looking->uuid);
}

static bool is_elsewhere(const struct host *host, const char *uuid)
{
    struct looking looking = {host, uuid, false};
    inventory_each_host(host->manager->inventory, look, &looking);
    return looking.is_found;
}

/* One that the host did not list before. */
static enum event_type type_of_new(const struct host *host, const struct vm_status *vm)
{
    if (vm->state == VM_INCOMING)
        return EVENT_VM_SHELL;
    if (is_elsewhere(host, vm->spec.uuid))
        return EVENT_VM_ARRIVED;
    return asker_of(host, vm->spec.uuid) ? EVENT_VM_CREATED : EVENT_VM_DISCOVERED;
}

static enum event_type type_of_state(const struct vm_status *before, const struct vm_status *vm)
{
    switch (vm->state) {
    case VM_RUNNING:
        if (before->state == VM_INCOMING)
            return EVENT_VM_ARRIVED;
        if (before->state == VM_PAUSED)
            return before->move[0] ? EVENT_VM_EPOCH : EVENT_VM_RESUMED;
        return EVENT_VM_POWERED_ON;
    case VM_STARTING:
        return EVENT_VM_STARTING;
    case VM_OFF:
        return EVENT_VM_POWERED_OFF;
    case VM_PAUSED:
        /* That a migration stops its guest is told by its task. */
        if (vm->move[0] && !vm->problem[0])
            return EVENT_NONE;
        if (!strcmp(vm->problem, VM_PROBLEM_PANICKED))
            return EVENT_VM_PANICKED;
        return vm->problem[0] ? EVENT_VM_IO_ERROR : EVENT_VM_PAUSED;
    case VM_INCOMING:
        return EVENT_VM_SHELL;
    case VM_UNKNOWN:
        return EVENT_VM_UNUSABLE;
    }
    return EVENT_NONE;
}

void vm_events_changed(const struct host *host, const struct vm_status *before, const struct vm_status *vm)
{
    enum event_type type = EVENT_NONE;
    g_autofree char *epoch = g_strdup_printf("%llu", (unsigned long long)vm->epoch);
    bool is_same_state = before && before->state == vm->state;
    bool has_new_problem = before && vm->problem[0] && strcmp(before->problem, vm->problem) != 0;
    if (!before)
        type = type_of_new(host, vm);
    else if (!is_same_state || (has_new_problem && vm->state != VM_RUNNING))
        type = type_of_state(before, vm);
    else if (before->epoch != vm->epoch)
        type = EVENT_VM_EPOCH;
    if (type != EVENT_NONE)
        vm_events_tell(host, type, vm, type == EVENT_VM_EPOCH ? epoch : vm->problem, NULL);
}

void vm_events_gone(const struct host *host, const struct vm_status *before)
{
    enum event_type type = before->state == VM_INCOMING                ? EVENT_VM_SHELL_REMOVED
                           : asker_of(host, before->spec.uuid) != NULL ? EVENT_VM_REMOVED
                                                                       : EVENT_VM_LEFT;
    g_autoptr(JsonObject) document = json_object_new();
    json_object_set_string_member(document, "uuid", before->spec.uuid);
    json_object_set_string_member(document, "host", host->name);
    json_object_set_string_member(document, "state", "gone");
    const struct event event = {
        .user = asker_of(host, before->spec.uuid),
        .vm = before->spec.name,
        .vm_uuid = before->spec.uuid,
        .host = host->name,
        .task = before->move,
        .document = document,
    };
    events_emit(host->manager->events, type, &event);
}

static void tell(const struct host *host, enum event_type type, struct event *event)
{
    g_autoptr(JsonObject) document = inventory_host_json(host);
    event->host = host->name;
    event->document = document;
    events_emit(host->manager->events, type, event);
}

void host_tell(const struct host *host, enum event_type type, const char *user, const char *detail)
{
    tell(host, type, &(struct event){.user = user, .detail = detail});
}

void host_tell_lost(const struct host *host, const struct err *why)
{
    tell(host, EVENT_HOST_CONNECTION_LOST, &(struct event){.error = why});
}
