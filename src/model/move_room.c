/* SPDX-License-Identifier: Apache-2.0 */
#include "model/move_room.h"

#include <glib.h>

#include "model/check_table.h"

#define MIB_SHIFT 20
/* Stays free on the datastore when all that comes is there: the guests that use it write on. */
#define RESERVE_BYTES (64ull << MIB_SHIFT)

/* An image takes what is used of the disk. */
static uint64_t bytes_needed(const struct move_spec *spec)
{
    uint64_t need = 0;
    for (uint32_t i = 0; i < spec->n_disks; i++)
        need += MIN(spec->disks[i].used_bytes, spec->disks[i].size_bytes);
    return need ? need + RESERVE_BYTES : 0;
}

void move_room_find_problem(const struct move_spec *spec, const char *host,
                            const struct host_datastore *store, struct findings *findings)
{
    const uint64_t need = bytes_needed(spec);
    if (store->capacity_bytes && need > store->free_bytes)
        findings_say(findings, CHECK_DATASTORE_NO_ROOM,
                     CHECK_ARGS({"host", host}, {"vm", spec->vm.name}, {"datastore", store->name},
                                {"path", store->path}, {"free_mib", .number = store->free_bytes >> MIB_SHIFT},
                                {"need_mib", .number = need >> MIB_SHIFT}));
}
