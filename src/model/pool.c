/* SPDX-License-Identifier: Apache-2.0 */
#include "model/pool.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "model/fields.h"

/* As in vSphere: 1 to 2 to 4, and a VM has 1000 for each of its CPUs. */
#define SHARES_LOW 2000
#define SHARES_NORMAL 4000
#define SHARES_HIGH 8000
#define SHARES_MAX 1000000
#define SHARES_VM_CPU 1000
/* 2 PiB and 10 million cores. */
#define MEMORY_MAX_MIB INT32_MAX
#define CPU_MAX_PERCENT 1000000000

static bool shares_are_valid(const char *text)
{
    guint64 number;
    return !strcmp(text, "low") || !strcmp(text, "normal") || !strcmp(text, "high") ||
           g_ascii_string_to_unsigned(text, 10, 1, SHARES_MAX, &number, NULL);
}

static const struct text_rule rule_shares = {
    shares_are_valid, "\"low\", \"normal\", \"high\" or a text with a number from 1 to 1000000", false};

static bool is_pool(const char *text)
{
    return *text && pool_path_is_valid(text);
}

static const struct text_rule rule_pool = {
    is_pool, "at most 8 names joined by '/', each of letters, digits, '-', '_' and '.', like prod/db", false};

static const struct field pool_fields[] = {
    TEXT(struct pool_spec, path, &rule_pool),
    NUMBER(struct pool_spec, memory_reservation_mib, 0, MEMORY_MAX_MIB),
    NUMBER(struct pool_spec, memory_limit_mib, 0, MEMORY_MAX_MIB),
    NUMBER(struct pool_spec, cpu_reservation_percent, 0, CPU_MAX_PERCENT),
    NUMBER(struct pool_spec, cpu_limit_percent, 0, CPU_MAX_PERCENT),
    TEXT(struct pool_spec, cpu_shares, &rule_shares),
    FIELDS_END,
};

/* What the messages of a resource say. */
static const struct {
    const char *name;
    const char *unit;
    const char *reservation;
    const char *limit;
} words[POOL_RESOURCES] = {
    [POOL_MEMORY] = {"memory", "MiB", "memory_reservation_mib", "memory_limit_mib"},
    [POOL_CPU] = {"CPU", "percent of a core", "cpu_reservation_percent", "cpu_limit_percent"},
};

void pool_spec_init(struct pool_spec *spec)
{
    *spec = (struct pool_spec){.cpu_shares = "normal"};
}

JsonObject *pool_spec_to_json(const struct pool_spec *spec)
{
    return fields_write(pool_fields, spec);
}

int pool_spec_update(struct pool_spec *spec, JsonObject *object, struct err *err)
{
    if (fields_read(object, pool_fields, spec, FIELDS_STRICT, err) || fields_check(pool_fields, spec, err))
        return -1;
    for (enum pool_resource r = 0; r < POOL_RESOURCES; r++)
        if (pool_reservation(spec, r) > pool_limit(spec, r)) {
            err_set(err, ERR_BAD_REQUEST, "pool-reservation-over-limit",
                    "%s (%" PRIu64 ") must not be more than %s (%" PRIu64 ")", words[r].reservation,
                    pool_reservation(spec, r), words[r].limit, pool_limit(spec, r));
            (void)err_arg(err, "reservation", "%s", words[r].reservation);
            (void)err_arg(err, "reserved", "%" PRIu64, pool_reservation(spec, r));
            (void)err_arg(err, "limit", "%s", words[r].limit);
            (void)err_arg(err, "limited_to", "%" PRIu64, pool_limit(spec, r));
            err_arg(err, "pool", "%s", spec->path);
            return err_fix(err, "reserve less, or raise the limit (0: none)");
        }
    return 0;
}

JsonObject *pool_list_to_json(const struct pool_spec *pools, uint32_t n_pools)
{
    JsonArray *list = json_array_new();
    for (uint32_t i = 0; i < n_pools; i++)
        json_array_add_object_element(list, pool_spec_to_json(&pools[i]));
    JsonObject *object = json_object_new();
    json_object_set_array_member(object, "pools", list);
    return object;
}

static int compare_specs(const void *left, const void *right)
{
    return strcmp(((const struct pool_spec *)left)->path, ((const struct pool_spec *)right)->path);
}

int pool_list_from_json(JsonObject *object, struct pool_spec **ret_pools, uint32_t *ret_n_pools,
                        struct err *err)
{
    JsonNode *node = json_object_get_member(object, "pools");
    if (!node || !JSON_NODE_HOLDS_ARRAY(node))
        return err_set(err, ERR_BAD_REQUEST, "member-missing", "pools must be an array");
    JsonArray *list = json_node_get_array(node);
    uint32_t n = json_array_get_length(list);
    if (n > POOLS_MAX) {
        (void)err_set(err, ERR_BAD_REQUEST, "field-too-long", "pools must have at most %d elements",
                      POOLS_MAX);
        return err_arg(err, "max", "%d", POOLS_MAX);
    }
    g_autofree struct pool_spec *pools = g_new0(struct pool_spec, n + 1);
    for (uint32_t i = 0; i < n; i++) {
        JsonNode *element = json_array_get_element(list, i);
        pool_spec_init(&pools[i]);
        if (!JSON_NODE_HOLDS_OBJECT(element)) {
            (void)err_set(err, ERR_BAD_REQUEST, "field-wrong-type", "pools[%u] must be an object", i);
            return err_arg(err, "index", "%u", i);
        }
        if (pool_spec_update(&pools[i], json_node_get_object(element), err))
            return err_prefix(err, "pools[%u]", i);
    }
    qsort(pools, n, sizeof *pools, compare_specs);
    *ret_pools = g_steal_pointer(&pools);
    *ret_n_pools = n;
    return 0;
}

uint32_t pool_shares(const struct pool_spec *spec)
{
    if (!strcmp(spec->cpu_shares, "low"))
        return SHARES_LOW;
    if (!strcmp(spec->cpu_shares, "normal"))
        return SHARES_NORMAL;
    if (!strcmp(spec->cpu_shares, "high"))
        return SHARES_HIGH;
    return (uint32_t)g_ascii_strtoull(spec->cpu_shares, NULL, 10);
}

uint32_t pool_vm_shares(uint32_t cpus)
{
    return cpus * SHARES_VM_CPU;
}

uint64_t pool_reservation(const struct pool_spec *spec, enum pool_resource resource)
{
    return resource == POOL_MEMORY ? spec->memory_reservation_mib : spec->cpu_reservation_percent;
}

uint64_t pool_limit(const struct pool_spec *spec, enum pool_resource resource)
{
    uint32_t limit = resource == POOL_MEMORY ? spec->memory_limit_mib : spec->cpu_limit_percent;
    return limit ? limit : POOL_UNLIMITED;
}

/* ---- paths ---- */

bool pool_path_is_valid(const char *path)
{
    if (!*path)
        return true;
    if (strlen(path) >= POOL_PATH_MAX)
        return false;
    g_auto(GStrv) names = g_strsplit(path, "/", -1);
    for (char **name = names; *name; name++)
        if (!model_name_is_valid(*name))
            return false;
    return g_strv_length(names) <= POOL_DEPTH_MAX;
}

bool pool_path_is_within(const char *path, const char *ancestor)
{
    size_t length = strlen(ancestor);
    return !length || (!strncmp(path, ancestor, length) && (path[length] == '\0' || path[length] == '/'));
}

void pool_path_parent(const char *path, char ret_parent[POOL_PATH_MAX])
{
    const char *end = strrchr(path, '/');
    size_t length = end ? (size_t)(end - path) : 0;
    memcpy(ret_parent, path, length);
    ret_parent[length] = '\0';
}

const char *pool_path_or_root(const char *path)
{
    return strcmp(path, "/") ? path : "";
}

/* ---- the tree ---- */

static int compare_path(const void *path, const void *pool)
{
    return strcmp(path, ((const struct pool *)pool)->spec.path);
}

int pool_tree_find(const struct pool_tree *tree, const char *path)
{
    const struct pool *found =
        tree->n_pools ? bsearch(path, tree->pools, tree->n_pools, sizeof *tree->pools, compare_path) : NULL;
    return found ? (int)(found - tree->pools) : POOL_ROOT;
}

int pool_tree_parent(const struct pool_tree *tree, int index)
{
    char parent[POOL_PATH_MAX];
    pool_path_parent(tree->pools[index].spec.path, parent);
    return pool_tree_find(tree, parent);
}

int pool_tree_nearest(const struct pool_tree *tree, const char *path)
{
    char at[POOL_PATH_MAX];
    (void)g_strlcpy(at, path, sizeof at);
    while (*at && pool_tree_find(tree, at) == POOL_ROOT)
        pool_path_parent(at, at);
    return pool_tree_find(tree, at);
}

const struct pool_sum *pool_tree_at(const struct pool_tree *tree, int index, enum pool_resource resource)
{
    return index == POOL_ROOT ? &tree->root[resource] : &tree->pools[index].sums[resource];
}

static struct pool_sum *sum_at(struct pool_tree *tree, int index, enum pool_resource resource)
{
    return index == POOL_ROOT ? &tree->root[resource] : &tree->pools[index].sums[resource];
}

static int refuse_reservations(enum pool_resource r, const struct pool_spec *pool, uint64_t wanted,
                               uint64_t bound, struct err *err)
{
    const char *path = pool ? pool->path : "/";
    const char *what = !pool ? "all hosts have"
                       : pool_reservation(pool, r) && bound == pool_reservation(pool, r)
                           ? "it reserves itself"
                           : "its limit allows";
    err_set(err, ERR_REFUSED, "pool-reservations-exceed",
            "the pools below '%s' would reserve %" PRIu64 " %s of %s, %s %" PRIu64 ": %" PRIu64 " too much",
            path, wanted, words[r].unit, words[r].name, what, bound, wanted - bound);
    (void)err_arg(err, "unit", "%s", words[r].unit);
    (void)err_arg(err, "what", "%s", what);
    (void)err_arg(err, "reserved", "%" PRIu64, wanted);
    (void)err_arg(err, "bound", "%" PRIu64, bound);
    err_arg(err, "pool", "%s", path);
    err_arg(err, "resource", "%s", r == POOL_MEMORY ? "memory" : "cpu");
    err_arg(err, "excess", "%" PRIu64, wanted - bound);
    if (!pool)
        return err_fix(err, "reserve less, or add a host first");
    return err_fix(err, "reserve less, or give the pool '%s' more first: godwit pool set %s", path, path);
}

/* `reserved` of a pool: its own reservation, or what the pools below reserve if that is more. Children come
 * behind their parents, so that going backwards every sum is complete when it is read. */
static int check_resource(const struct pool_tree *tree, enum pool_resource r, uint64_t capacity,
                          struct err *err)
{
    g_autofree uint64_t *below = g_new0(uint64_t, tree->n_pools + 1);
    for (uint32_t i = tree->n_pools; i-- > 0;) {
        const struct pool_spec *spec = &tree->pools[i].spec;
        uint64_t reservation = pool_reservation(spec, r);
        uint64_t bound = reservation ? reservation : pool_limit(spec, r);
        if (below[i] > bound)
            return refuse_reservations(r, spec, below[i], bound, err);
        int parent = pool_tree_parent(tree, (int)i);
        below[parent == POOL_ROOT ? tree->n_pools : (uint32_t)parent] += MAX(reservation, below[i]);
    }
    uint64_t all = below[tree->n_pools];
    return all > capacity ? refuse_reservations(r, NULL, all, capacity, err) : 0;
}

int pool_tree_check(const struct pool_tree *tree, const uint64_t capacity[POOL_RESOURCES], struct err *err)
{
    for (uint32_t i = 0; i < tree->n_pools; i++) {
        char parent[POOL_PATH_MAX];
        pool_path_parent(tree->pools[i].spec.path, parent);
        if (*parent && pool_tree_find(tree, parent) == POOL_ROOT) {
            err_set(err, ERR_NOT_FOUND, "pool-not-found", "there is no pool '%s' to hold '%s'", parent,
                    tree->pools[i].spec.path);
            (void)err_arg(err, "child", "%s", tree->pools[i].spec.path);
            err_arg(err, "pool", "%s", parent);
            return err_fix(err, "create it first: godwit pool create %s", parent);
        }
    }
    for (enum pool_resource r = 0; r < POOL_RESOURCES; r++)
        if (check_resource(tree, r, capacity[r], err))
            return -1;
    return 0;
}

static uint64_t left(uint64_t bound, uint64_t inner)
{
    if (bound == POOL_UNLIMITED)
        return POOL_UNLIMITED;
    return bound > inner ? bound - inner : 0;
}

static void sum_up(struct pool_tree *tree, enum pool_resource r)
{
    tree->root[r].used = tree->root[r].inner = tree->root[r].own;
    for (uint32_t i = 0; i < tree->n_pools; i++) {
        struct pool_sum *sum = &tree->pools[i].sums[r];
        sum->used = sum->inner = sum->own;
    }
    for (uint32_t i = tree->n_pools; i-- > 0;) {
        struct pool_sum *sum = &tree->pools[i].sums[r];
        struct pool_sum *parent = sum_at(tree, pool_tree_parent(tree, (int)i), r);
        sum->taken = MAX(sum->inner, pool_reservation(&tree->pools[i].spec, r));
        parent->used += sum->used;
        parent->inner += sum->taken;
    }
}

void pool_tree_sum(struct pool_tree *tree, const uint64_t capacity[POOL_RESOURCES])
{
    for (enum pool_resource r = 0; r < POOL_RESOURCES; r++) {
        struct pool_sum *root = &tree->root[r];
        sum_up(tree, r);
        root->bounded_by = POOL_ROOT;
        root->room = root->inner > root->used ? left(capacity[r], root->inner) : POOL_UNLIMITED;
        for (uint32_t i = 0; i < tree->n_pools; i++) {
            struct pool_sum *sum = &tree->pools[i].sums[r];
            const struct pool_sum *parent = pool_tree_at(tree, pool_tree_parent(tree, (int)i), r);
            uint64_t own_room = left(pool_limit(&tree->pools[i].spec, r), sum->inner);
            /* What is kept free for this pool costs the parent nothing more. */
            uint64_t above =
                parent->room == POOL_UNLIMITED ? POOL_UNLIMITED : parent->room + (sum->taken - sum->inner);
            sum->room = MIN(own_room, above);
            sum->bounded_by = own_room <= above ? (int)i : parent->bounded_by;
        }
    }
}
