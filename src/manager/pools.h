/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Resource pools: the tree, which the database keeps, and admission.
 *
 * What a pool has given out is never counted up and down: each question draws the sum anew from the inventory
 * (VMs that are on, shells that wait), from the open migrations that were admitted, and from what is promised
 * to a call that an agent has not answered yet. A VM counts once in each pool, so that a move inside a pool
 * costs it nothing, and one to another pool takes from both until it is over.
 */
#ifndef MANAGER_POOLS_H
#define MANAGER_POOLS_H

#include "manager/manager.h"
#include "model/move.h"
#include "model/pool.h"

struct task;

/* Loads the tree, and keeps telling the hosts their part of it. */
int pools_open(struct manager *manager, struct err *err);
void pools_free(struct pools *pools);

/* ---- the tree ---- */
/* Members of a pool_spec; `path` must be among them for a new one and must not for a change. Stored when they
 * return 0. `user`: who wants it. */
int pools_create(struct manager *manager, JsonObject *members, const char *user, struct err *err);
int pools_change(struct manager *manager, const char *path, JsonObject *members, const char *user,
                 struct err *err);
/* REFUSED "pool-in-use" while a pool, a VM or a migration needs it. */
int pools_remove(struct manager *manager, const char *path, const char *user, struct err *err);
/* NOT_FOUND "pool-not-found"; "" is always there. */
int pools_check_exists(struct manager *manager, const char *path, struct err *err);
/* The pool with its sums; it must exist. Transfer full. */
JsonObject *pools_show(struct manager *manager, const char *path);
JsonArray *pools_list(struct manager *manager); /* transfer full */

/* ---- admission ---- */
/* Promises the VM's memory, its overhead with it, and CPU reservation in that pool and all above it, unless
 * it counts there already; REFUSED "pool-memory-short" or "pool-cpu-short". Each call that returns 0 needs
 * one pools_release, after the inventory shows what the agent made of it. RETRY "vm-busy" while another call
 * changes the VM, or wants it in another pool. */
int pools_reserve(struct manager *manager, const struct vm_status *vm, const char *pool, struct err *err);
/* As above for a call that changes a VM which is off, its pool or what it needs: takes nothing, and holds a
 * start up, which would be admitted by what the VM was. `pool`: where it will be. */
int pools_hold(struct manager *manager, const struct vm_status *vm, const char *pool, struct err *err);
void pools_release(struct manager *manager, const char *uuid);
/* The same for a migration: kept in task->has_place, and given back by the task's end. */
int pools_admit(struct task *task, const struct vm_status *vm, struct err *err);
/* The pool of the VM after a move with these options; borrowed from either. */
const char *pools_target(const struct move_options *options, const struct vm_spec *vm);

/* Sums of now. Filled by pools_sum.c; free with pools_tree_free. */
struct pool_tree *pools_tree(struct manager *manager);
void pools_tree_free(struct pool_tree *tree);

/* Tells a host its part now, if that has changed. */
void pools_tell(struct manager *manager, const char *host);

#endif
