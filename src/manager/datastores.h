/* SPDX-License-Identifier: Apache-2.0 */
/* Datastores as the hosts see them, put together by name. */
#ifndef MANAGER_DATASTORES_H
#define MANAGER_DATASTORES_H

#include "manager/inventory.h"

/* The documents of all, by name; transfer full. */
JsonArray *datastores_list(struct inventory *inventory);
/* One; NOT_FOUND "datastore-not-found" if no host has it. Transfer full. */
int datastores_show(struct inventory *inventory, const char *name, JsonObject **ret_document,
                    struct err *err);
/* REFUSED "datastore-known" if another host has one of that name with an identity, and this one sees none. */
int datastores_check_init(const struct host *host, const char *name, struct err *err);
/* Called with a host's new facts before they are its own: what it has not looked at yet stays as it was. */
void datastores_complete(const struct host *host, struct host_facts *facts);
/* Tells what changed; host->facts are the new ones. `before` NULL: nothing was known of the host. */
void datastores_tell(const struct host *host, const struct host_facts *before);
/* The host gave it an identity, by the wish of `user`. */
void datastores_note_init(struct host *host, const struct host_datastore *datastore, const char *user);

#endif
