/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A host that was booted starts its VMs with `autostart` only at the manager's word: its journals may be
 * older than what the operator has settled while it was down. The word is given when the host has heard all
 * of that, and every host was asked since the manager runs. VMs that another host owns in a later epoch, or
 * as well, are left out of it, also if the database knows of no settlement (it was lost, or is an old copy).
 * May be repeated; nothing is stored.
 */
#ifndef MANAGER_AUTOSTART_H
#define MANAGER_AUTOSTART_H

#include "manager/inventory.h"

/* After a host has answered with its facts and its VMs, and settlements_work. */
void autostart_work(struct host *host);

#endif
