/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the files about pools only. */
#ifndef MANAGER_POOLS_PRIVATE_H
#define MANAGER_POOLS_PRIVATE_H

#include "manager/pools.h"

/* A promise to a call that is under way. */
struct pool_promise {
    char uuid[MODEL_UUID_SIZE];
    char pool[POOL_PATH_MAX];
    bool is_change; /* takes nothing: `amounts` are 0 */
    uint64_t amounts[POOL_RESOURCES];
    unsigned n_calls;
};

struct pools {
    struct manager *manager;
    struct pool_tree tree; /* only the specs count here */
    GHashTable *promises;  /* uuid -> struct pool_promise, owned */
    GHashTable *told;      /* host -> struct telling (pools_tell.c), owned */
    guint timer;
};

/* What the hosts have together, and what of it a VM takes. */
void pools_capacity(struct manager *manager, uint64_t ret_capacity[POOL_RESOURCES]);
void pools_amounts(const struct vm_status *vm, uint64_t ret_amounts[POOL_RESOURCES]);
/* True if the sums hold the VM in that pool already. */
bool pools_counts(struct manager *manager, const char *uuid, const char *pool);

/* pools_tell.c */
void pools_tell_start(struct pools *pools);
void pools_tell_stop(struct pools *pools);

#endif
