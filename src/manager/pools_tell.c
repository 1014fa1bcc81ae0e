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
    char *told;        /* the list that the host has confirmed, NULL: none */
    char *sent;        /* under way, NULL: none */
    uint32_t protocol; /* of the agent that was told */
    char version[sizeof((struct host_facts *)NULL)->agent_version];
};

static void telling_free(void *data)
{
    struct telling *telling = data;
    g_free(telling->told);
    g_free(telling->sent);
    g_free(telling);
}

/* Virtual CPUs of the VMs that are on, in each pool and all below it, by the pool's index. */
struct counting {
    const struct pool_tree *tree;
    GHashTable *seen; /* "UUID INDEX" in a count over all hosts: a VM that two of them list counts once */
    uint64_t *cpus;
};

static void count_vm(const struct counting *counting, const struct vm_spec *vm)
{
    int at = pool_tree_nearest(counting->tree, vm->pool);
    for (; at != POOL_ROOT; at = pool_tree_parent(counting->tree, at))
        if (!counting->seen || g_hash_table_add(counting->seen, g_strdup_printf("%s %d", vm->uuid, at)))
            counting->cpus[at] += vm->cpus;
}

static void count_status(const struct vm_status *vm, void *user)
{
    count_vm(user, &vm->spec);
}

static void count_host(struct host *host, void *user)
{
    inventory_each_vm_on(host, count_status, user);
}

/* Over all hosts; g_free. */
static uint64_t *count_all(const struct pools *pools)
{
    g_autoptr(GHashTable) seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    struct counting counting = {&pools->tree, seen, g_new0(uint64_t, pools->tree.n_pools + 1)};
    inventory_each_host(pools->manager->inventory, count_host, &counting);
    return counting.cpus;
}

/* A host without a VM of the pool gets the whole: one may start there before the next list comes. */
static uint32_t part_of(const struct pool_spec *pool, uint64_t n_here, uint64_t n_all)
{
    if (!n_here || n_here >= n_all)
        return pool->cpu_limit_percent;
    return (uint32_t)MAX(1, pool->cpu_limit_percent * n_here / n_all);
}

static JsonObject *list_for(struct host *host, const uint64_t *all)
{
    const struct pool_tree *tree = &host->manager->pools->tree;
    g_autofree struct pool_spec *parts = g_new0(struct pool_spec, tree->n_pools + 1);
    g_autofree uint64_t *here = g_new0(uint64_t, tree->n_pools + 1);
    struct counting counting = {tree, NULL, here};
    count_host(host, &counting);
    for (uint32_t i = 0; i < tree->n_pools; i++) {
        const struct pool_spec *spec = &tree->pools[i].spec;
        pool_spec_init(&parts[i]);
        memcpy(parts[i].path, spec->path, sizeof spec->path);
        memcpy(parts[i].cpu_shares, spec->cpu_shares, sizeof spec->cpu_shares);
        if (spec->cpu_limit_percent)
            parts[i].cpu_limit_percent = part_of(spec, here[i], all[i]);
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

/* Another agent than was told: one of the version before refuses the list, and its successor has none. */
static void note_version(struct telling *telling, const struct host_facts *facts)
{
    if (telling->protocol == facts->protocol && !strcmp(telling->version, facts->agent_version))
        return;
    telling->protocol = facts->protocol;
    (void)g_strlcpy(telling->version, facts->agent_version, sizeof telling->version);
    g_clear_pointer(&telling->told, g_free);
}

struct round {
    struct pools *pools;
    const uint64_t *cpus; /* of all hosts */
};

static void tell(struct host *host, void *user)
{
    const struct round *round = user;
    struct pools *pools = round->pools;
    struct telling *telling = g_hash_table_lookup(pools->told, host->name);
    if (!telling) {
        telling = g_new0(struct telling, 1);
        g_hash_table_insert(pools->told, g_strdup(host->name), telling);
    }
    if (host->state != HOST_CONNECTED) {
        g_clear_pointer(&telling->told, g_free);
        return;
    }
    note_version(telling, &host->facts);
    g_autoptr(JsonObject) list = list_for(host, round->cpus);
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
    g_autofree uint64_t *cpus = count_all(pools);
    struct round round = {pools, cpus};
    inventory_each_host(pools->manager->inventory, tell, &round);
    return G_SOURCE_CONTINUE;
}

void pools_tell(struct manager *manager, const char *host_name)
{
    struct host *host = inventory_find_host(manager->inventory, host_name);
    g_autofree uint64_t *cpus = count_all(manager->pools);
    struct round round = {manager->pools, cpus};
    if (host)
        tell(host, &round);
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
