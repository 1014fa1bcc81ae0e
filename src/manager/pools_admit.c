/* SPDX-License-Identifier: Apache-2.0 */
/* Admission: all on one thread and decided before an agent is asked, so that two wishes cannot both get the
 * last room. */
#include <inttypes.h>
#include <string.h>

#include "manager/pools_private.h"
#include "manager/task.h"
#include "model/check_table.h"

const char *pools_target(const struct move_options *options, const struct vm_spec *vm)
{
    return options->pool[0] ? pool_path_or_root(options->pool) : vm->pool;
}

static const struct {
    enum check check;
    const char *short_arg;
} words[POOL_RESOURCES] = {
    [POOL_MEMORY] = {CHECK_POOL_MEMORY_SHORT, "short_mib"},
    [POOL_CPU] = {CHECK_POOL_CPU_SHORT, "short_percent"},
};

static int refuse(const struct pool_tree *tree, int index, enum pool_resource r, const struct vm_status *vm,
                  struct err *err)
{
    uint64_t amounts[POOL_RESOURCES];
    pools_amounts(vm, amounts);
    const struct pool_sum *sum = pool_tree_at(tree, index, r);
    int bound = sum->bounded_by;
    const char *pool = index == POOL_ROOT ? "/" : tree->pools[index].spec.path;
    const char *bounding = bound == POOL_ROOT ? "/" : tree->pools[bound].spec.path;
    const struct pool_sum *at = pool_tree_at(tree, bound, r);
    g_autofree char *limit =
        bound == POOL_ROOT
            ? g_strdup_printf("the hosts have no more, %" PRIu64 " are in use and %" PRIu64
                              " reserved by pools",
                              at->used, at->inner - at->used)
            : g_strdup_printf("its limit is %" PRIu64 ", %" PRIu64 " are in use and %" PRIu64
                              " reserved by pools below it",
                              pool_limit(&tree->pools[bound].spec, r), at->used, at->inner - at->used);
    return check_say(err, words[r].check,
                     CHECK_ARGS({"vm", vm->spec.name}, {"pool", pool}, {"bounding_pool", bounding},
                                {words[r].short_arg, .number = amounts[r] - sum->room}, {"limit", limit}));
}

static int check_room(struct manager *manager, const struct vm_status *vm, const char *path, struct err *err)
{
    if (pools_counts(manager, vm->spec.uuid, path))
        return 0;
    if (pools_check_exists(manager, path, err))
        return -1;
    uint64_t amounts[POOL_RESOURCES];
    struct pool_tree *tree = pools_tree(manager);
    int index = pool_tree_find(tree, path);
    int result = 0;
    pools_amounts(vm, amounts);
    for (enum pool_resource r = 0; r < POOL_RESOURCES && !result; r++)
        if (amounts[r] > pool_tree_at(tree, index, r)->room)
            result = refuse(tree, index, r, vm, err);
    pools_tree_free(tree);
    return result;
}

/* The promise to the VM in that pool, with one more call. */
static int take_promise(struct manager *manager, const struct vm_status *vm, const char *pool, bool is_change,
                        struct pool_promise **ret_promise, struct err *err)
{
    struct pool_promise *promise = g_hash_table_lookup(manager->pools->promises, vm->spec.uuid);
    if (promise && (promise->is_change != is_change || strcmp(promise->pool, pool) != 0)) {
        err_set(err, ERR_RETRY, "vm-busy", "VM '%s' is being %s", vm->spec.name,
                promise->is_change ? "changed" : "started, or put into another pool");
        (void)err_arg(err, "what", "%s", promise->is_change ? "change" : "start-or-pool");
        err_arg(err, "vm", "%s", vm->spec.name);
        return err_fix(err, "try again when that is done");
    }
    if (!promise) {
        promise = g_new0(struct pool_promise, 1);
        (void)g_strlcpy(promise->uuid, vm->spec.uuid, sizeof promise->uuid);
        (void)g_strlcpy(promise->pool, pool, sizeof promise->pool);
        promise->is_change = is_change;
        g_hash_table_insert(manager->pools->promises, g_strdup(vm->spec.uuid), promise);
    }
    promise->n_calls++;
    *ret_promise = promise;
    return 0;
}

int pools_reserve(struct manager *manager, const struct vm_status *vm, const char *pool, struct err *err)
{
    struct pool_promise *promise;
    if (check_room(manager, vm, pool, err) || take_promise(manager, vm, pool, false, &promise, err))
        return -1;
    pools_amounts(vm, promise->amounts);
    return 0;
}

int pools_hold(struct manager *manager, const struct vm_status *vm, const char *pool, struct err *err)
{
    struct pool_promise *promise;
    return take_promise(manager, vm, pool, true, &promise, err);
}

void pools_release(struct manager *manager, const char *uuid)
{
    /* None: the manager ends, and with it its calls. */
    struct pool_promise *promise =
        manager->pools ? g_hash_table_lookup(manager->pools->promises, uuid) : NULL;
    if (promise && !--promise->n_calls)
        (void)g_hash_table_remove(manager->pools->promises, uuid);
}

int pools_admit(struct task *task, const struct vm_status *vm, struct err *err)
{
    if (check_room(task->manager, vm, pools_target(&task->options, &vm->spec), err)) {
        err_place(err, "", "manager");
        return -1;
    }
    task->has_place = true;
    return 0;
}
