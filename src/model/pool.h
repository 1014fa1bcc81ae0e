/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A resource pool: a part of what all hosts have together, in a tree below an invisible root. Plain data and
 * pure arithmetic.
 *
 * A pool is called by its path, "prod/db"; the root is "". Memory is counted in MiB, CPU in percent of one
 * core (100 = one core): no clock rate is the same on two hosts. A VM that is on takes its whole memory and
 * its CPU reservation from its pool, whether it uses them or not.
 *
 * A reservation is kept free for the pool by all others; a pool that needs more takes it from its parent, as
 * far as limits and the reservations of others leave room (vSphere calls that expandable; here every pool
 * is). Memory has no shares: it is promised whole and never short, so that there is nothing to divide.
 */
#ifndef MODEL_POOL_H
#define MODEL_POOL_H

#include <json-glib/json-glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "model/vm.h"

#define POOL_DEPTH_MAX 8
#define POOLS_MAX 1024

enum pool_resource { POOL_MEMORY, POOL_CPU };
#define POOL_RESOURCES 2
/* No limit, and so much room as there is elsewhere. */
#define POOL_UNLIMITED UINT64_MAX

struct pool_spec {
    char path[POOL_PATH_MAX];
    uint32_t memory_reservation_mib;
    uint32_t memory_limit_mib; /* 0: none */
    uint32_t cpu_reservation_percent;
    uint32_t cpu_limit_percent; /* 0: none */
    char cpu_shares[16];        /* "low", "normal", "high" or a number; against its siblings */
};

/* A pool as it stands in the sums, once for each resource. */
struct pool_sum {
    uint64_t own;   /* of VMs in this pool itself; the caller fills it in */
    uint64_t used;  /* with all pools below */
    uint64_t inner; /* used, or kept free for pools below */
    uint64_t taken; /* from the parent: inner, or the reservation if that is more */
    uint64_t room;  /* what a VM in this pool may still take, POOL_UNLIMITED if nothing bounds it */
    int bounded_by; /* index of the pool whose limit bounds `room`; POOL_ROOT: the hosts */
};
#define POOL_ROOT (-1)

struct pool {
    struct pool_spec spec;
    struct pool_sum sums[POOL_RESOURCES];
};

/* Parents before children: sorted by path. At most POOLS_MAX. */
struct pool_tree {
    struct pool *pools;
    uint32_t n_pools;
    struct pool_sum root[POOL_RESOURCES];
};

/* Shares "normal", no reservation, no limit. */
void pool_spec_init(struct pool_spec *spec);
JsonObject *pool_spec_to_json(const struct pool_spec *spec); /* transfer full */
/* Changes the members that the object has, `path` included, then checks the pool by itself: names, depth,
 * ranges, reservation within limit. BAD_REQUEST names the member. */
int pool_spec_update(struct pool_spec *spec, JsonObject *object, struct err *err);
/* {"pools":[...]}, sorted by path and checked each by itself. Transfer full; *ret_pools: g_free. */
JsonObject *pool_list_to_json(const struct pool_spec *pools, uint32_t n_pools);
int pool_list_from_json(JsonObject *object, struct pool_spec **ret_pools, uint32_t *ret_n_pools,
                        struct err *err);
/* The number behind the shares; a VM has pool_vm_shares(cpus). Only the ratio between siblings counts. */
uint32_t pool_shares(const struct pool_spec *spec);
uint32_t pool_vm_shares(uint32_t cpus);
uint64_t pool_reservation(const struct pool_spec *spec, enum pool_resource resource);
uint64_t pool_limit(const struct pool_spec *spec, enum pool_resource resource); /* POOL_UNLIMITED: none */

/* "" or names joined by '/', at most POOL_DEPTH_MAX of them. */
bool pool_path_is_valid(const char *path);
/* True for the pool itself and all below it; everything is below "". */
bool pool_path_is_within(const char *path, const char *ancestor);
/* "prod" of "prod/db", "" of "prod". */
void pool_path_parent(const char *path, char ret_parent[POOL_PATH_MAX]);
/* Operators write "/" for the root. */
const char *pool_path_or_root(const char *path);

/* Index of the pool, POOL_ROOT if there is none (or for ""). */
int pool_tree_find(const struct pool_tree *tree, const char *path);
int pool_tree_parent(const struct pool_tree *tree, int index);
/* Index of the pool, or of the nearest one above it that exists; POOL_ROOT: none. */
int pool_tree_nearest(const struct pool_tree *tree, const char *path);
/* The rules between pools: each parent exists; what the children reserve fits into the parent's reservation
 * if it has one, and with everything below into its limit, and into `capacity` (what the hosts have;
 * POOL_UNLIMITED: not known). REFUSED names the pool and how much is too much. */
int pool_tree_check(const struct pool_tree *tree, const uint64_t capacity[POOL_RESOURCES], struct err *err);
/* Fills the sums from every `own`. While no pool below the root keeps anything free, the root bounds
 * nothing: what a host has, the host itself watches. */
void pool_tree_sum(struct pool_tree *tree, const uint64_t capacity[POOL_RESOURCES]);
/* The sum of a pool, or of the root. */
const struct pool_sum *pool_tree_at(const struct pool_tree *tree, int index, enum pool_resource resource);

#endif
