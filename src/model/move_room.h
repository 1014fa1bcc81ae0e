/* SPDX-License-Identifier: Apache-2.0 */
/* Whether the disks that move fit the datastore they go to. Pure. */
#ifndef MODEL_MOVE_ROOM_H
#define MODEL_MOVE_ROOM_H

#include "model/datastore.h"
#include "model/finding.h"
#include "model/move.h"

/* Notes "datastore-no-room" of `store`, as that host finds it; all disks of a move go to one. Nothing is said
 * while it is not known how large it is, or how much is on the disks. */
void move_room_find_problem(const struct move_spec *spec, const char *host,
                            const struct host_datastore *store, struct findings *findings);

#endif
