/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the hosts enforce. A pool's CPU limit is one for all hosts; each gets the part that the virtual CPUs
 * of the pool's VMs have there. A VM that arrives counts at its destination besides its source: it runs on
 * one of them only. The list is sent whole when it has changed, and once after a host came back; the agent
 * keeps it, so that it enforces it without us.
 */
#include <string.h>

#include "base/log.h"
#include "manager/agent_client.h"
#include "manager/inventory.h"
#include "manager/pools_private.h"

#define LOOK_INTERVAL_MS 1000
#define TELL_TIMEOUT_S 10

struct telling {
    char *told; /* the list that the host has confirmed, NULL: none */
    char *sent; /* under way, NULL: none */
};

static void telling_free(void *data)
{
    struct telling *telling = data;
    g_free(telling->told);
    g_free(telling->sent);
    g_free(telling);
}

struct cpus {
    GHashTable *seen; /* uuid, in a count over all hosts */
    const char *path;
    uint64_t n;
};

static void count_host(struct host *host, void *user)
{
    struct cpus *cpus = user;
    GHashTableIter iter;
    void *value;
    g_hash_table_iter_init(&iter, host->vms);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const struct vm_status *vm = value;
        if (vm->state == VM_OFF || !pool_path_is_within(vm->spec.pool, cpus->path))
            continue;
        if (!cpus->seen || g_hash_table_add(cpus->seen, (void *)vm->spec.uuid))
            cpus->n += vm->spec.cpus;
    }
}

/* A host without a VM of the pool gets the whole: one may start there before the next list comes. */
static uint32_t part_of(struct host *host, const struct pool_spec *pool)
{
    g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);
    struct cpus all = {seen, pool->path, 0};
    struct cpus here = {NULL, pool->path, 0};
    inventory_each_host(host->manager->inventory, count_host, &all);
    count_host(host, &here);
    if (!here.n || here.n >= all.n)
        return pool->cpu_limit_percent;
    return (uint32_t)MAX(1, pool->cpu_limit_percent * here.n / all.n);
}

static JsonObject *list_for(struct host *host)
{
    const struct pool_tree *tree = &host->manager->pools->tree;
    g_autofree struct pool_spec *parts = g_new0(struct pool_spec, tree->n_pools + 1);
    for (uint32_t i = 0; i < tree->n_pools; i++) {
        const struct pool_spec *spec = &tree->pools[i].spec;
        pool_spec_init(&parts[i]);
        memcpy(parts[i].path, spec->path, sizeof spec->path);
        memcpy(parts[i].cpu_shares, spec->cpu_shares, sizeof spec->cpu_shares);
        if (spec->cpu_limit_percent)
            parts[i].cpu_limit_percent = part_of(host, spec);
    }
    return pool_list_to_json(parts, tree->n_pools);
}

struct question {
    struct manager *manager;
    char host[MODEL_NAME_MAX];
};

static void told(JsonObject *object, const struct err *err, void *user)
{
    (void)object;
    g_autofree struct question *question = user;
    struct pools *pools = question->manager->pools;
    struct telling *telling = pools ? g_hash_table_lookup(pools->told, question->host) : NULL;
    if (!telling)
        return;
    g_free(telling->told);
    telling->told = g_steal_pointer(&telling->sent);
    if (!err_is_set(err))
        return;
    /* One that refuses would refuse it again; the next change is another list. */
    if (err->code == ERR_PEER_LOST || err->code == ERR_RETRY || err->code == ERR_TIMEOUT)
        g_clear_pointer(&telling->told, g_free);
    else
        log_error(err, "host %s does not take the list of pools", question->host);
}

static void tell(struct host *host, void *user)
{
    struct pools *pools = user;
    struct telling *telling = g_hash_table_lookup(pools->told, host->name);
    if (!telling) {
        telling = g_new0(struct telling, 1);
        g_hash_table_insert(pools->told, g_strdup(host->name), telling);
    }
    if (host->state != HOST_CONNECTED) {
        g_clear_pointer(&telling->told, g_free);
        return;
    }
    g_autoptr(JsonObject) list = list_for(host);
    g_autofree char *text = model_print(list, false);
    if (telling->sent || g_strcmp0(telling->told, text) == 0)
        return;
    telling->sent = g_steal_pointer(&text);
    struct question *question = g_new0(struct question, 1);
    question->manager = host->manager;
    (void)g_strlcpy(question->host, host->name, sizeof question->host);
    agent_call(host, &(struct http_call){"PUT", "/v1/pools", json_object_ref(list), TELL_TIMEOUT_S}, told,
               question);
}

static gboolean look(void *user)
{
    struct pools *pools = user;
    inventory_each_host(pools->manager->inventory, tell, pools);
    return G_SOURCE_CONTINUE;
}

void pools_tell(struct manager *manager, const char *host_name)
{
    struct host *host = inventory_find_host(manager->inventory, host_name);
    if (host)
        tell(host, manager->pools);
}

void pools_tell_start(struct pools *pools)
{
    pools->told = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, telling_free);
    pools->timer = g_timeout_add(LOOK_INTERVAL_MS, look, pools);
}

void pools_tell_stop(struct pools *pools)
{
    if (pools->timer)
        g_source_remove(pools->timer);
    if (pools->told)
        g_hash_table_unref(pools->told);
}
