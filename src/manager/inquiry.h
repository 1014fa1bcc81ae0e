/* SPDX-License-Identifier: Apache-2.0 */
/* Asks every enrolled host what its journal says of one VM. */
#ifndef MANAGER_INQUIRY_H
#define MANAGER_INQUIRY_H

#include "manager/inventory.h"
#include "model/ownership.h"

struct inquiry_row {
    char host[MODEL_NAME_MAX];
    struct err err;             /* set if it did not answer */
    bool is_outdated;           /* ... because its agent is of a version that cannot be asked: it is up */
    struct ownership ownership; /* valid if it did */
};

struct inquiry {
    struct manager *manager;
    char uuid[MODEL_UUID_SIZE];
    char vm_name[MODEL_NAME_MAX]; /* the uuid if nobody knows a name */
    GPtrArray *rows;              /* struct inquiry_row, by the host's name */
    unsigned n_open;
    int64_t started_ms; /* wall clock, as host->last_seen_ms */
    void (*done)(struct inquiry *inquiry, void *user);
    void *user;
};

/* `name_or_uuid` may also be the UUID of a VM that no connected host lists. NOT_FOUND "vm-not-found" else.
 * `done` is called once, from the main loop, when all have answered or were silent for too long; the inquiry
 * is freed after it. */
int inquiry_start(struct manager *manager, const char *name_or_uuid,
                  void (*done)(struct inquiry *inquiry, void *user), void *user, struct err *err);
const struct inquiry_row *inquiry_find(const struct inquiry *inquiry, const char *host);
/* The one host that says "mine" while no other does, has given it away or has a damaged journal; or NULL. */
const struct inquiry_row *inquiry_owner(const struct inquiry *inquiry);
/* Why there is none, in words; "" if there is. g_free. */
char *inquiry_dispute(const struct inquiry *inquiry);
/* For the API. Transfer full. */
JsonObject *inquiry_json(const struct inquiry *inquiry);

#endif
