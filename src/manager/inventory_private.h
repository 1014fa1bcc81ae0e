/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the inventory's files only. */
#ifndef MANAGER_INVENTORY_PRIVATE_H
#define MANAGER_INVENTORY_PRIVATE_H

#include "manager/inventory.h"

struct inventory {
    GHashTable *hosts;  /* name -> struct host, owned */
    GHashTable *askers; /* uuid of a VM -> name of the user who just has something done to it, owned */
    guint timer;
};

/* Makes the client and begins with DISCONNECTED. */
int host_start(struct host *host, struct err *err);
void host_free(void *host);
/* One round of questions to a host, unless one is under way. */
void host_poll(struct host *host);
void host_store_vm(struct host *host, const struct vm_status *vm);

#endif
