/* SPDX-License-Identifier: Apache-2.0 */
/* Maintenance mode: a host that takes no VM. Those it has run on until the operator has moved them away; it
 * is in maintenance once none is on. Kept in the database. Main-loop thread. */
#ifndef MANAGER_MAINTENANCE_H
#define MANAGER_MAINTENANCE_H

#include "manager/inventory.h"

/* "no"; "entering": VMs are on there still; "yes". */
const char *maintenance_name(const struct host *host);
/* By whom. Again is no error. */
int maintenance_set(struct host *host, bool in_maintenance, const char *user, struct err *err);
/* Tells of a host that has reached it, when its VMs may have changed; quiet: without an event. */
void maintenance_look(struct host *host, bool is_quiet);
/* REFUSED "host-in-maintenance" for a VM that would come to the host, or be started there. */
int maintenance_check(const struct host *host, const char *vm, struct err *err);

#endif
