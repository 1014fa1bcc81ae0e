/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Moves that agents have and no open task of this manager knows: their task ended while a host was away, or
 * the database is older than the move, or new. Each is brought to its end:
 * - not given away yet: cancelled, so the VM stays where it is;
 * - a source that has given its VM away (GIVEN) is never cancelled and never forgotten: the other hosts are
 *   asked for the verdict with COMMIT, and the one that knows the session answers from its journal. Until a
 *   host does, the VM stays stopped, and an event says what is waited for;
 * - over: forgotten on its host.
 * Main-loop thread. Nothing is stored: the hosts list their moves again.
 */
#ifndef MANAGER_ORPHANS_H
#define MANAGER_ORPHANS_H

#include <json-glib/json-glib.h>

#include "manager/inventory.h"

struct orphans *orphans_new(struct manager *manager);
/* After the inventory, whose calls end here. NULL ok. */
void orphans_free(struct orphans *orphans);
/* What a host has just listed: objects with `id` and `vm`. Borrowed. */
void orphans_look(struct host *host, JsonArray *moves);

#endif
