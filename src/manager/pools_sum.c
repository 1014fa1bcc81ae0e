/* SPDX-License-Identifier: Apache-2.0 */
/* Who takes what from which pool at this moment. */
#include <string.h>

#include "manager/inventory.h"
#include "manager/pools_private.h"
#include "manager/task.h"

/* One VM in one pool. Several sources may name it: it counts once. */
typedef void (*sum_entry)(const struct vm_status *vm, const char *pool, void *user);

struct walk {
    struct manager *manager;
    sum_entry entry;
    void *user;
};

static void walk_vm(const struct vm_status *vm, void *user)
{
    const struct walk *walk = user;
    walk->entry(vm, vm->spec.pool, walk->user);
}

static void walk_host(struct host *host, void *user)
{
    inventory_each_vm_on(host, walk_vm, user);
}

/* From its admission to its end a migration holds the place that its VM will have. */
static void walk_task(struct task *task, void *user)
{
    const struct walk *walk = user;
    if (!task->has_place && task->phase <= PHASE_DESTINATION_CHECK)
        return;
    const char *const names[] = {task->source_host, task->destination_host};
    for (unsigned i = 0; i < G_N_ELEMENTS(names); i++) {
        const struct host *host = inventory_find_host(walk->manager->inventory, names[i]);
        const struct vm_status *vm = host ? g_hash_table_lookup(host->vms, task->vm_uuid) : NULL;
        if (!vm)
            continue;
        walk->entry(vm, pools_target(&task->options, &vm->spec), walk->user);
        return;
    }
}

static void walk_all(struct manager *manager, sum_entry entry, void *user)
{
    struct walk walk = {manager, entry, user};
    inventory_each_host(manager->inventory, walk_host, &walk);
    tasks_each(manager, walk_task, &walk);
}

void pools_amounts(const struct vm_status *vm, uint64_t ret_amounts[POOL_RESOURCES])
{
    ret_amounts[POOL_MEMORY] = (uint64_t)vm->spec.memory_mib + vm->overhead_mib;
    ret_amounts[POOL_CPU] = vm->spec.cpu_reservation_percent;
}

struct summing {
    struct pool_tree *tree;
    GHashTable *seen; /* "UUID POOL" */
};

static void add(struct summing *summing, const char *uuid, const char *pool,
                const uint64_t amounts[POOL_RESOURCES])
{
    if (!g_hash_table_add(summing->seen, g_strdup_printf("%s %s", uuid, pool)))
        return;
    int index = pool_tree_nearest(summing->tree, pool);
    for (enum pool_resource r = 0; r < POOL_RESOURCES; r++)
        if (index == POOL_ROOT)
            summing->tree->root[r].own += amounts[r];
        else
            summing->tree->pools[index].sums[r].own += amounts[r];
}

static void add_vm(const struct vm_status *vm, const char *pool, void *user)
{
    uint64_t amounts[POOL_RESOURCES];
    pools_amounts(vm, amounts);
    add(user, vm->spec.uuid, pool, amounts);
}

static void add_capacity(struct host *host, void *user)
{
    uint64_t *capacity = user;
    if (!host->has_facts)
        return;
    capacity[POOL_MEMORY] += host->facts.memory_used_mib + host->facts.memory_free_mib;
    capacity[POOL_CPU] += 100ull * host->facts.cpus;
}

void pools_capacity(struct manager *manager, uint64_t ret_capacity[POOL_RESOURCES])
{
    ret_capacity[POOL_MEMORY] = ret_capacity[POOL_CPU] = 0;
    inventory_each_host(manager->inventory, add_capacity, ret_capacity);
    /* Before the first host there is nothing to measure a reservation by. */
    for (enum pool_resource r = 0; r < POOL_RESOURCES; r++)
        if (!ret_capacity[r])
            ret_capacity[r] = POOL_UNLIMITED;
}

struct pool_tree *pools_tree(struct manager *manager)
{
    const struct pools *pools = manager->pools;
    struct pool_tree *tree = g_new0(struct pool_tree, 1);
    g_autoptr(GHashTable) seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    struct summing summing = {tree, seen};
    uint64_t capacity[POOL_RESOURCES];
    tree->n_pools = pools->tree.n_pools;
    tree->pools = g_memdup2(pools->tree.pools, tree->n_pools * sizeof *tree->pools);
    walk_all(manager, add_vm, &summing);
    GHashTableIter iter;
    void *value;
    g_hash_table_iter_init(&iter, pools->promises);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const struct pool_promise *promise = value;
        add(&summing, promise->uuid, promise->pool, promise->amounts);
    }
    pools_capacity(manager, capacity);
    pool_tree_sum(tree, capacity);
    return tree;
}

void pools_tree_free(struct pool_tree *tree)
{
    g_free(tree->pools);
    g_free(tree);
}

struct search {
    const char *uuid;
    const char *pool;
    bool is_found;
};

static void look(const struct vm_status *vm, const char *pool, void *user)
{
    struct search *search = user;
    search->is_found |= !strcmp(vm->spec.uuid, search->uuid) && !strcmp(pool, search->pool);
}

bool pools_counts(struct manager *manager, const char *uuid, const char *pool)
{
    const struct pool_promise *promise = g_hash_table_lookup(manager->pools->promises, uuid);
    struct search search = {uuid, pool,
                            promise && promise->amounts[POOL_MEMORY] && !strcmp(promise->pool, pool)};
    walk_all(manager, look, &search);
    return search.is_found;
}
