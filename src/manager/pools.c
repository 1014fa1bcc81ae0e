/* SPDX-License-Identifier: Apache-2.0 */
/* The tree of pools: loaded once, changed in the database first. */
#include "manager/pools.h"

#include <string.h>

#include "base/log.h"
#include "manager/events.h"
#include "manager/inventory.h"
#include "manager/pools_private.h"
#include "manager/task.h"

static void insert(struct pool_tree *tree, const struct pool_spec *spec)
{
    uint32_t at = 0;
    while (at < tree->n_pools && strcmp(tree->pools[at].spec.path, spec->path) < 0)
        at++;
    tree->pools = g_renew(struct pool, tree->pools, tree->n_pools + 1);
    memmove(&tree->pools[at + 1], &tree->pools[at], (tree->n_pools - at) * sizeof *tree->pools);
    tree->pools[at] = (struct pool){.spec = *spec};
    tree->n_pools++;
}

struct loading {
    struct pools *pools;
    struct err err;
};

static void load(const char *path, const char *text, void *user)
{
    struct loading *loading = user;
    g_autoptr(JsonObject) object = NULL;
    struct pool_spec spec;
    struct err err = {0};
    pool_spec_init(&spec);
    if (!model_parse(text, -1, &object, &err) && !pool_spec_update(&spec, object, &err)) {
        insert(&loading->pools->tree, &spec);
        return;
    }
    err_prefix(&err, "the stored pool %s", path);
    loading->err = err;
}

int pools_open(struct manager *manager, struct err *err)
{
    struct pools *pools = g_new0(struct pools, 1);
    struct loading loading = {.pools = pools};
    manager->pools = pools;
    pools->manager = manager;
    pools->promises = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    if (db_pool_list(manager->db, load, &loading, err))
        return -1;
    if (err_is_set(&loading.err)) {
        *err = loading.err;
        return -1;
    }
    pools_tell_start(pools);
    return 0;
}

void pools_free(struct pools *pools)
{
    if (!pools)
        return;
    pools_tell_stop(pools);
    g_hash_table_unref(pools->promises);
    g_free(pools->tree.pools);
    g_free(pools);
}

/* ---- changes ---- */

static int not_found(const char *path, struct err *err)
{
    err_set(err, ERR_NOT_FOUND, "pool-not-found", "there is no pool '%s'", path);
    err_arg(err, "pool", "%s", path);
    return err_fix(err, "list them with 'godwit pool ls', or create it: godwit pool create %s", path);
}

int pools_check_exists(struct manager *manager, const char *path, struct err *err)
{
    return !*path || pool_tree_find(&manager->pools->tree, path) != POOL_ROOT ? 0 : not_found(path, err);
}

/* The tree as it would be is checked, then stored, and only then it is the tree. */
static int adopt(struct manager *manager, struct pool_tree *next, const struct pool_spec *spec,
                 const char *user, struct err *err)
{
    struct pool_tree *tree = &manager->pools->tree;
    g_autoptr(JsonObject) object = pool_spec_to_json(spec);
    g_autofree char *text = model_print(object, false);
    uint64_t capacity[POOL_RESOURCES];
    bool is_new = pool_tree_find(tree, spec->path) == POOL_ROOT;
    pools_capacity(manager, capacity);
    if (pool_tree_check(next, capacity, err) || db_pool_put(manager->db, spec->path, text, err)) {
        g_free(next->pools);
        return -1;
    }
    g_free(tree->pools);
    *tree = *next;
    log_info("pool %s: memory %u to %u MiB, CPU %u to %u percent (0: no limit), shares %s", spec->path,
             spec->memory_reservation_mib, spec->memory_limit_mib, spec->cpu_reservation_percent,
             spec->cpu_limit_percent, spec->cpu_shares);
    events_emit(manager->events, is_new ? EVENT_POOL_CREATED : EVENT_POOL_CHANGED,
                &(struct event){.user = user, .name = spec->path, .document = object});
    return 0;
}

static struct pool_tree copy_tree(const struct pool_tree *tree)
{
    struct pool_tree copy = {.n_pools = tree->n_pools};
    copy.pools = g_memdup2(tree->pools, tree->n_pools * sizeof *tree->pools);
    return copy;
}

int pools_create(struct manager *manager, JsonObject *members, const char *user, struct err *err)
{
    const struct pool_tree *tree = &manager->pools->tree;
    struct pool_spec spec;
    pool_spec_init(&spec);
    if (pool_spec_update(&spec, members, err))
        return -1;
    if (pool_tree_find(tree, spec.path) != POOL_ROOT) {
        err_set(err, ERR_REFUSED, "pool-exists", "there is a pool '%s' already", spec.path);
        err_arg(err, "pool", "%s", spec.path);
        return err_fix(err, "choose another name, or change it: godwit pool set %s", spec.path);
    }
    if (tree->n_pools == POOLS_MAX) {
        err_set(err, ERR_REFUSED, "too-many-pools", "there are %d pools already, and no more are possible",
                POOLS_MAX);
        return err_fix(err, "remove one that is not needed: godwit pool rm POOL");
    }
    struct pool_tree next = copy_tree(tree);
    insert(&next, &spec);
    return adopt(manager, &next, &spec, user, err);
}

int pools_change(struct manager *manager, const char *path, JsonObject *members, const char *user,
                 struct err *err)
{
    const struct pool_tree *tree = &manager->pools->tree;
    int index = pool_tree_find(tree, path);
    if (index == POOL_ROOT)
        return not_found(path, err);
    if (json_object_has_member(members, "path")) {
        err_set(err, ERR_BAD_REQUEST, "unknown-member", "the path of a pool cannot be changed");
        (void)err_arg(err, "member", "path");
        return err_fix(err, "create another pool, put the VMs into it (godwit pool assign), remove this one");
    }
    struct pool_spec spec = tree->pools[index].spec;
    if (pool_spec_update(&spec, members, err))
        return -1;
    struct pool_tree next = copy_tree(tree);
    next.pools[index].spec = spec;
    return adopt(manager, &next, &spec, user, err);
}

/* ---- removal ---- */

static int in_use(const char *path, const char *what, const char *name, struct err *err)
{
    err_set(err, ERR_REFUSED, "pool-in-use", "pool '%s' holds %s '%s'", path, what, name);
    err_arg(err, "pool", "%s", path);
    err_arg(err, "holds", "%s", name);
    return err_fix(err, "remove the pools below it, and put its VMs elsewhere: godwit pool assign POOL VM");
}

struct usage {
    const char *path;
    char by[MODEL_UUID_SIZE]; /* a migration that goes there, "" if none */
};

static void find_migration(struct task *task, void *user)
{
    struct usage *usage = user;
    if (!strcmp(pool_path_or_root(task->options.pool), usage->path))
        (void)g_strlcpy(usage->by, task->id, sizeof usage->by);
}

int pools_remove(struct manager *manager, const char *path, const char *user, struct err *err)
{
    struct pool_tree *tree = &manager->pools->tree;
    int index = pool_tree_find(tree, path);
    if (index == POOL_ROOT)
        return not_found(path, err);
    for (uint32_t i = 0; i < tree->n_pools; i++)
        if ((int)i != index && pool_path_is_within(tree->pools[i].spec.path, path))
            return in_use(path, "pool", tree->pools[i].spec.path, err);
    g_autoptr(GArray) vms = inventory_vms(manager->inventory);
    for (guint i = 0; i < vms->len; i++) {
        const struct vm_spec *vm = &g_array_index(vms, struct vm_status, i).spec;
        if (!strcmp(vm->pool, path))
            return in_use(path, "VM", vm->name, err);
    }
    struct usage usage = {.path = path};
    tasks_each(manager, find_migration, &usage);
    if (usage.by[0])
        return in_use(path, "the place of migration", usage.by, err);
    GHashTableIter iter;
    void *value;
    g_hash_table_iter_init(&iter, manager->pools->promises);
    while (g_hash_table_iter_next(&iter, NULL, &value))
        if (!strcmp(((struct pool_promise *)value)->pool, path))
            return in_use(path, "the place of VM", ((struct pool_promise *)value)->uuid, err);
    if (db_pool_remove(manager->db, path, err))
        return -1;
    g_autoptr(JsonObject) document = json_object_new();
    json_object_set_string_member(document, "path", path);
    json_object_set_string_member(document, "state", "removed");
    events_emit(manager->events, EVENT_POOL_REMOVED,
                &(struct event){.user = user, .name = path, .document = document});
    tree->n_pools--;
    memmove(&tree->pools[index], &tree->pools[index + 1],
            (tree->n_pools - (uint32_t)index) * sizeof *tree->pools);
    return 0;
}

/* ---- as everyone sees it ---- */

static void set_sum(JsonObject *object, const char *used, const char *available, const struct pool_sum *sum)
{
    json_object_set_int_member(object, used, (gint64)sum->used);
    if (sum->room == POOL_UNLIMITED)
        json_object_set_null_member(object, available);
    else
        json_object_set_int_member(object, available, (gint64)sum->room);
}

static JsonObject *pool_json(const struct pool *pool, const GArray *vms)
{
    JsonObject *object = pool_spec_to_json(&pool->spec);
    set_sum(object, "memory_used_mib", "memory_available_mib", &pool->sums[POOL_MEMORY]);
    set_sum(object, "cpu_used_percent", "cpu_available_percent", &pool->sums[POOL_CPU]);
    gint64 n_vms = 0;
    for (guint i = 0; i < vms->len; i++)
        if (pool_path_is_within(g_array_index(vms, struct vm_status, i).spec.pool, pool->spec.path))
            n_vms++;
    json_object_set_int_member(object, "n_vms", n_vms);
    return object;
}

JsonObject *pools_show(struct manager *manager, const char *path)
{
    g_autoptr(GArray) vms = inventory_vms(manager->inventory);
    struct pool_tree *tree = pools_tree(manager);
    JsonObject *object = pool_json(&tree->pools[pool_tree_find(tree, path)], vms);
    pools_tree_free(tree);
    return object;
}

JsonArray *pools_list(struct manager *manager)
{
    g_autoptr(GArray) vms = inventory_vms(manager->inventory);
    struct pool_tree *tree = pools_tree(manager);
    JsonArray *list = json_array_new();
    for (uint32_t i = 0; i < tree->n_pools; i++)
        json_array_add_object_element(list, pool_json(&tree->pools[i], vms));
    pools_tree_free(tree);
    return list;
}
