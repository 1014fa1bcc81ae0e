/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The operator's word on who owns a VM (`vm settle`), kept until every host has heard of it. Each is stored
 * before any host is told. Hosts that must give the VM up come first; only when all of them that are not
 * declared down have done so, the owner is told. A host that was declared down is told as soon as it answers
 * again. Every order may be repeated: a manager that was killed goes on from what it stored.
 */
#ifndef MANAGER_SETTLEMENTS_H
#define MANAGER_SETTLEMENTS_H

#include "manager/inventory.h"
#include "model/ownership.h"

struct settlements;
enum settle_state {
    SETTLE_TO_DO, /* answers, and must give the VM up before the owner gets it */
    SETTLE_DOWN,  /* declared down by the operator: told when it comes back */
    SETTLE_DONE,  /* has given it up */
};

struct settle_plan {
    char uuid[MODEL_UUID_SIZE];
    char vm_name[MODEL_NAME_MAX];
    char owner[MODEL_NAME_MAX];
    char user[MODEL_NAME_MAX]; /* who said so */
    uint64_t epoch;
    bool has_spec;
    struct vm_spec spec;
    GHashTable *hosts; /* name -> enum settle_state; all but the owner. Taken over */
};

/* Loads what is not finished. */
int settlements_open(struct manager *manager, struct err *err);
/* After the inventory, whose calls end here. NULL ok. */
void settlements_free(struct settlements *settlements);
/* Stores the plan, replaces an earlier one of the VM, and begins. `done` (may be NULL) is called once: when
 * the owner has the VM, or with what keeps it from having it; the plan stays and is tried again. */
typedef void (*settlement_done)(const struct err *err, void *user);
int settlements_add(struct manager *manager, struct settle_plan *plan, settlement_done done, void *user,
                    struct err *err);
/* After a host has answered: what it has to be told. */
void settlements_work(struct host *host);
/* True if the host has not heard the word on this VM yet. */
bool settlements_are_at(struct manager *manager, const char *uuid, const char *host);
/* True if the host has not heard every word yet that concerns it. */
bool settlements_are_open_at(struct host *host);
/* The epoch of the VM's settlement, 0 if there is none. */
uint64_t settlements_epoch(struct manager *manager, const char *uuid);
/* {"owner","epoch","user","is_owned","hosts":{NAME:"to do|down|done"}}, or NULL. Transfer full. */
JsonObject *settlements_json(struct manager *manager, const char *uuid);
/* REFUSED if nothing may start or move this VM where it is shown: "vm-being-settled", "vm-owned-twice". */
int settlements_check(struct manager *manager, const struct vm_status *status, struct err *err);

#endif
