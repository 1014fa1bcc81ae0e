/* SPDX-License-Identifier: Apache-2.0 */
#include "manager/storage.h"

#include <stdio.h>
#include <string.h>

#include "model/move_room.h"

/* The name may mean something else on each host. */
static bool is_there_already(const struct vm_disk *disk, const char *datastore,
                             const struct host_facts *source, const struct host_facts *destination)
{
    if (!source || strcmp(disk->datastore, datastore) != 0)
        return false;
    if (source->name[0] && !strcmp(source->name, destination->name))
        return true;
    const struct host_datastore *here = datastore_find(source->datastores, source->n_datastores, datastore);
    const struct host_datastore *there =
        datastore_find(destination->datastores, destination->n_datastores, datastore);
    return here && there && here->uuid[0] && !strcmp(here->uuid, there->uuid);
}

static bool is_name_taken(const struct move_spec *spec, uint32_t n_placed, const char *file)
{
    for (uint32_t i = 0; i < n_placed; i++)
        if (!strcmp(spec->vm.disks[spec->disks[i].disk].file, file))
            return true;
    return false;
}

/* Its file keeps its name, without folders; of two that have one name the second gets another. */
static void place(struct move_spec *spec, uint32_t n_placed)
{
    uint32_t number = spec->disks[n_placed].disk;
    struct vm_disk *disk = &spec->vm.disks[number];
    g_autofree char *name = g_path_get_basename(disk->datastore[0] ? disk->file : disk->path);
    g_autofree char *other = g_strdup_printf("%u-%s", number, name);
    const char *file = is_name_taken(spec, n_placed, name) ? other : name;
    disk->path[0] = '\0';
    (void)g_strlcpy(disk->datastore, spec->options.datastore, sizeof disk->datastore);
    (void)g_strlcpy(disk->file, file, sizeof disk->file);
}

static void place_all(struct move_spec *spec)
{
    for (uint32_t i = 0; i < spec->n_disks; i++)
        place(spec, i);
}

void storage_plan(const struct host_facts *source, const struct host_facts *destination,
                  struct move_spec *spec)
{
    spec->n_disks = 0;
    for (uint32_t i = 0; i < spec->vm.n_disks && spec->options.datastore[0]; i++) {
        const struct vm_disk *disk = &spec->vm.disks[i];
        if (!vm_disk_is_cdrom(disk) && !is_there_already(disk, spec->options.datastore, source, destination))
            spec->disks[spec->n_disks++] = (struct move_disk){.disk = i};
    }
    place_all(spec);
}

int storage_check_here(const struct move_spec *spec, struct err *err)
{
    if (spec->n_disks)
        return 0;
    (void)err_set(err, ERR_REFUSED, "disks-are-there", "all disks of VM '%s' are on datastore '%s' already",
                  spec->vm.name, spec->options.datastore);
    (void)err_arg(err, "vm", "%s", spec->vm.name);
    (void)err_arg(err, "datastore", "%s", spec->options.datastore);
    return err_fix(err, "see where they are: godwit vm disk ls %s; CDs do not move along", spec->vm.name);
}

void storage_take(const struct move_spec *answer, struct move_spec *spec)
{
    spec->vm = answer->vm;
    spec->n_disks = answer->n_disks;
    memcpy(spec->disks, answer->disks, sizeof spec->disks);
    place_all(spec);
}

void storage_find_room(const struct move_spec *spec, const struct host_facts *destination,
                       struct findings *findings)
{
    const struct host_datastore *store =
        datastore_find(destination->datastores, destination->n_datastores, spec->options.datastore);
    if (store)
        move_room_find_problem(spec, destination->name, store, findings);
}
