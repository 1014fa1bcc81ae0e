/* SPDX-License-Identifier: Apache-2.0 */
/* Which disks of a VM move along, and where to. Main-loop thread. */
#ifndef MANAGER_STORAGE_H
#define MANAGER_STORAGE_H

#include "model/finding.h"
#include "model/move.h"

/* Fills spec->disks and puts these disks of spec->vm, which are the source's, on spec->options.datastore: all
 * but CDs and those that are on that very datastore already. `source` NULL: nothing is known of it. */
void storage_plan(const struct host_facts *source, const struct host_facts *destination,
                  struct move_spec *spec);
/* REFUSED "disks-are-there" if nothing of a VM that stays on its host would move. */
int storage_check_here(const struct move_spec *spec, struct err *err);
/* The source has said how the VM is now, and how large the disks of the plan are. */
void storage_take(const struct move_spec *answer, struct move_spec *spec);
/* Notes "datastore-no-room" if that is known of the destination, and so are the sizes. */
void storage_find_room(const struct move_spec *spec, const struct host_facts *destination,
                       struct findings *findings);

#endif
