/* SPDX-License-Identifier: Apache-2.0 */
/* What one host's journal says about one VM, and the operator's last word about it (settle). */
#ifndef MODEL_OWNERSHIP_H
#define MODEL_OWNERSHIP_H

#include <json-glib/json-glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "model/vm.h"

#define OWNERSHIP_ABSENT "absent"   /* this host has never had the VM, or has forgotten it */
#define OWNERSHIP_CORRUPT "corrupt" /* the journal's file cannot be read: unknown */

/* An agent's answer. */
struct ownership {
    char uuid[MODEL_UUID_SIZE];
    char journal[16]; /* the step: "OWNED", "GIVEN", ... as in the handover; or one of the two above */
    uint64_t epoch;
    char session[MODEL_UUID_SIZE]; /* of the last move, "" if none */
    bool is_destination;           /* of that session */
    bool is_registered;            /* its config file is here: `spec` is valid */
    char state[16];                /* name of the vm_state; "" if not registered */
    int pid;                       /* of its QEMU, 0 = none */
    bool has_guest;                /* that QEMU is the guest, running or stopped, and no waiting shell */
    struct vm_spec spec;
};
JsonObject *ownership_to_json(const struct ownership *ownership);
int ownership_from_json(JsonObject *object, struct ownership *ret_ownership, struct err *err);
/* True if the step lets its host run the VM. */
bool ownership_claims(const char *journal);

/* The manager's order to an agent. */
struct settle_order {
    bool is_owner;       /* this host owns the VM from now on; else it gives it up */
    uint64_t epoch;      /* above all that are known */
    bool has_spec;       /* owner: for a host that has no config file of the VM */
    struct vm_spec spec; /* valid if has_spec */
};
JsonObject *settle_order_to_json(const struct settle_order *order);
int settle_order_from_json(JsonObject *object, struct settle_order *ret_order, struct err *err);

#endif
