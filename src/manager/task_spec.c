/* SPDX-License-Identifier: Apache-2.0 */
/* What both hosts were told of a migration (phases 3 to 5), as the task's document shows it: never a key or a
 * hash. */
#include "manager/task.h"

#include "model/overhead.h"

static JsonObject *pair_of(const char *name, const char *value, const char *other_name, const char *other)
{
    JsonObject *object = json_object_new();
    json_object_set_string_member(object, name, value);
    json_object_set_string_member(object, other_name, other);
    return object;
}

static JsonObject *disk_of(const struct vm_disk *disk)
{
    JsonObject *object = pair_of("path", disk->path, "format", disk->format);
    json_object_set_string_member(object, "datastore", disk->datastore);
    json_object_set_string_member(object, "file", disk->file);
    json_object_set_string_member(object, "bus", disk->bus);
    json_object_set_string_member(object, "media", disk->media);
    json_object_set_int_member(object, "slot", disk->slot);
    json_object_set_int_member(object, "moves", disk->moves);
    return object;
}

static JsonObject *vm_of(const struct move_spec *spec)
{
    const struct vm_spec *vm = &spec->vm;
    JsonObject *object = json_object_new();
    JsonArray *disks = json_array_new(), *nics = json_array_new();
    json_object_set_int_member(object, "memory_mib", vm->memory_mib);
    json_object_set_int_member(object, "overhead_mib", vm_overhead_mib(vm, spec->accel));
    json_object_set_int_member(object, "cpus", vm->cpus);
    json_object_set_int_member(object, "cpu_reservation_percent", vm->cpu_reservation_percent);
    json_object_set_string_member(object, "accel", spec->accel);
    json_object_set_string_member(object, "machine", vm->machine);
    json_object_set_string_member(object, "cpu_model", vm->cpu_model);
    json_object_set_string_member(object, "cpu_without", vm->cpu_without);
    json_object_set_string_member(object, "cpu_baseline", vm->cpu_baseline);
    json_object_set_string_member(object, "pool", vm->pool);
    for (uint32_t i = 0; i < vm->n_disks; i++)
        json_array_add_object_element(disks, disk_of(&vm->disks[i]));
    for (uint32_t i = 0; i < vm->n_nics; i++)
        json_array_add_object_element(nics, pair_of("network", vm->nics[i].network, "mac", vm->nics[i].mac));
    json_object_set_array_member(object, "disks", disks);
    json_object_set_array_member(object, "nics", nics);
    return object;
}

void task_keep_specification(struct task *task)
{
    const struct move_spec *spec = &task->spec;
    JsonObject *object = json_object_new();
    JsonArray *addresses = json_array_new();
    json_object_set_object_member(object, "vm", vm_of(spec));
    for (uint32_t i = 0; i < spec->n_addresses; i++)
        json_array_add_object_element(addresses,
                                      pair_of("from", spec->source_addresses[i], "to", spec->addresses[i]));
    json_object_set_array_member(object, "addresses", addresses);
    json_object_set_int_member(object, "port", spec->port);
    json_object_set_int_member(object, "channels", spec->n_channels);
    json_object_set_boolean_member(object, "encrypt", spec->encrypt);
    json_object_set_int_member(object, "epoch", (gint64)spec->epoch);
    g_clear_pointer(&task->specification, json_object_unref);
    task->specification = object;
}
