/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every document that manager, agents and files hold: the JSON of src/model. The first byte, from 'a' on,
 * chooses the kind in the order of `kinds`; the rest is the text. What is read is complete, keeps its own
 * rules, and is written and read again equally.
 */
#include <string.h>

#include "fuzz.h"
#include "model/move.h"
#include "model/ownership.h"
#include "model/pool.h"
#include "model/reach.h"
#include "model/site.h"

#define DEPTH_MAX 64 /* the parser recurses */

union record {
    struct vm_spec vm_spec;
    struct vm_status vm_status;
    struct host_facts host_facts;
    struct move_options move_options;
    struct move_spec move_spec;
    struct move_status move_status;
    struct move_timeline move_timeline;
    struct ownership ownership;
    struct settle_order settle_order;
    struct pool_spec pool_spec;
    struct reach_wish reach_wish;
    struct reach_report reach_report;
    struct move_site move_site;
    struct err error;
};

#define KIND(noun)                                                                                           \
    static int read_##noun(JsonObject *object, union record *ret_record, struct err *err)                    \
    {                                                                                                        \
        return noun##_from_json(object, &ret_record->noun, err);                                             \
    }                                                                                                        \
    static JsonObject *write_##noun(const union record *record)                                              \
    {                                                                                                        \
        return noun##_to_json(&record->noun);                                                                \
    }
KIND(vm_spec)
KIND(vm_status)
KIND(host_facts)
KIND(move_options)
KIND(move_spec)
KIND(move_status)
KIND(move_timeline)
KIND(ownership)
KIND(settle_order)
KIND(reach_wish)
KIND(reach_report)

/* An agent's answer, and no order. */
static int read_move_site(JsonObject *object, union record *ret_record, struct err *err)
{
    JsonNode *node = json_node_init_object(json_node_alloc(), object);
    int result = move_site_from_json(node, &ret_record->move_site, err);
    json_node_unref(node);
    must(result == 0 || err->code == ERR_CORRUPT);
    if (result < 0)
        err->code = ERR_BAD_REQUEST;
    return result;
}

static JsonObject *write_move_site(const union record *record)
{
    return move_site_to_json(&record->move_site);
}

static int read_pool_spec(JsonObject *object, union record *ret_record, struct err *err)
{
    pool_spec_init(&ret_record->pool_spec);
    return pool_spec_update(&ret_record->pool_spec, object, err);
}

static JsonObject *write_pool_spec(const union record *record)
{
    return pool_spec_to_json(&record->pool_spec);
}

static int read_error(JsonObject *object, union record *ret_record, struct err *err)
{
    JsonNode *inner = json_object_get_member(object, "error");
    (void)err;
    model_error_from_json(inner && JSON_NODE_HOLDS_OBJECT(inner) ? json_node_get_object(inner) : object,
                          &ret_record->error);
    must_be_sound(&ret_record->error);
    return 0;
}

static JsonObject *write_error(const union record *record)
{
    return model_error_to_json(&record->error);
}

static JsonObject *write_lean_vm_spec(const union record *record)
{
    return vm_spec_to_lean_json(&record->vm_spec);
}

static const struct kind {
    int (*read)(JsonObject *object, union record *ret_record, struct err *err);
    JsonObject *(*write)(const union record *record);
} kinds[] = {
    {read_vm_spec, write_vm_spec},
    {read_vm_status, write_vm_status},
    {read_host_facts, write_host_facts},
    {read_move_options, write_move_options},
    {read_move_spec, write_move_spec},
    {read_move_status, write_move_status},
    {read_move_timeline, write_move_timeline},
    {read_ownership, write_ownership},
    {read_settle_order, write_settle_order},
    {read_pool_spec, write_pool_spec},
    {read_error, write_error},
    {read_vm_spec, write_lean_vm_spec},
    {read_reach_wish, write_reach_wish},
    {read_move_site, write_move_site},
    {read_reach_report, write_reach_report},
};
#define N_KINDS (sizeof kinds / sizeof kinds[0])

static unsigned depth_of(JsonNode *node);

static void look_deeper(JsonNode *node, unsigned *deepest)
{
    unsigned depth = depth_of(node);
    *deepest = MAX(*deepest, depth);
}

static unsigned depth_of(JsonNode *node)
{
    unsigned deepest = 0;
    if (JSON_NODE_HOLDS_ARRAY(node)) {
        JsonArray *array = json_node_get_array(node);
        for (guint i = 0; i < json_array_get_length(array); i++)
            look_deeper(json_array_get_element(array, i), &deepest);
        return deepest + 1;
    }
    if (!JSON_NODE_HOLDS_OBJECT(node))
        return 0;
    JsonObjectIter iter;
    JsonNode *member;
    json_object_iter_init(&iter, json_node_get_object(node));
    while (json_object_iter_next(&iter, NULL, &member))
        look_deeper(member, &deepest);
    return deepest + 1;
}

/* NULL if it is no object. */
static JsonObject *parse(const char *text, size_t size)
{
    JsonObject *object = NULL;
    struct err err = {0};
    if (model_parse(text, (gssize)size, &object, &err) < 0) {
        must_be_sound(&err);
        must(err.code == ERR_BAD_REQUEST);
        return NULL;
    }
    g_autoptr(JsonNode) node = json_node_new(JSON_NODE_OBJECT);
    json_node_set_object(node, object);
    must(depth_of(node) <= DEPTH_MAX);
    return object;
}

static char *print(const struct kind *kind, const union record *record)
{
    g_autoptr(JsonObject) object = kind->write(record);
    return model_print(object, false);
}

/* The record is all set, whatever lay in its memory before. */
static char *read_over(const struct kind *kind, JsonObject *object, int before)
{
    static union record record;
    struct err err = {0};
    memset(&record, before, sizeof record);
    if (kind->read(object, &record, &err) < 0) {
        must_be_sound(&err);
        must(err.code == ERR_BAD_REQUEST);
        return NULL;
    }
    return print(kind, &record);
}

static void read_kind(const struct kind *kind, const char *text, size_t size)
{
    g_autoptr(JsonObject) object = parse(text, size);
    if (!object)
        return;
    g_autofree char *over_zeros = read_over(kind, object, 0), *over_ones = read_over(kind, object, 0xff);
    must(!over_zeros == !over_ones);
    if (!over_zeros)
        return;
    must(!strcmp(over_zeros, over_ones));
    g_autoptr(JsonObject) again = parse(over_zeros, strlen(over_zeros));
    must(again != NULL);
    g_autofree char *same = read_over(kind, again, 0);
    must(same && !strcmp(same, over_zeros));
}

static bool is_in_order(const struct pool_spec *pools, uint32_t n)
{
    for (uint32_t i = 1; i < n; i++)
        if (strcmp(pools[i - 1].path, pools[i].path) > 0)
            return false;
    return true;
}

/* The arithmetic of a tree that keeps the rules. */
static void must_add_up(const struct pool_spec *specs, uint32_t n)
{
    const uint64_t capacity[POOL_RESOURCES] = {POOL_UNLIMITED, POOL_UNLIMITED};
    g_autofree struct pool *pools = g_new0(struct pool, n + 1);
    struct pool_tree tree = {.pools = pools, .n_pools = n};
    struct err err = {0};
    for (uint32_t i = 0; i < n; i++)
        pools[i].spec = specs[i];
    if (pool_tree_check(&tree, capacity, &err) < 0) {
        must_be_sound(&err);
        return;
    }
    pool_tree_sum(&tree, capacity);
    for (uint32_t i = 0; i < n; i++)
        for (enum pool_resource r = 0; r < POOL_RESOURCES; r++) {
            const struct pool_sum *sum = pool_tree_at(&tree, (int)i, r);
            must(!sum->own && !sum->used && sum->taken >= pool_reservation(&specs[i], r));
            must(sum->inner <= sum->taken && sum->bounded_by >= POOL_ROOT && sum->bounded_by < (int)n);
        }
}

static void read_pools(const char *text, size_t size)
{
    g_autoptr(JsonObject) object = parse(text, size);
    g_autofree struct pool_spec *pools = NULL, *again = NULL;
    uint32_t n, n_again;
    struct err err = {0};
    if (!object)
        return;
    if (pool_list_from_json(object, &pools, &n, &err) < 0) {
        must_be_sound(&err);
        return;
    }
    must(n <= POOLS_MAX && is_in_order(pools, n));
    g_autoptr(JsonObject) written = pool_list_to_json(pools, n);
    must(pool_list_from_json(written, &again, &n_again, &err) == 0 && n_again == n);
    must_add_up(pools, n);
}

/* A VM's specification that is changed by the text: all of the change, or nothing. */
static void change_vm(const char *text, size_t size)
{
    static const char before[] = "{\"uuid\":\"3f0c8a52-6b1d-4e7a-9c55-0d2f4b6a8c1e\",\"name\":\"web\","
                                 "\"memory_mib\":1024,\"cpus\":2}";
    g_autoptr(JsonObject) object = parse(text, size), old = parse(before, strlen(before));
    union record record, untouched;
    struct err err = {0};
    must(old && read_vm_spec(old, &record, &err) == 0);
    if (!object)
        return;
    untouched.vm_spec = record.vm_spec;
    if (vm_spec_change(&record.vm_spec, object, &err) < 0) {
        must_be_sound(&err);
        must(!memcmp(&record.vm_spec, &untouched.vm_spec, sizeof record.vm_spec));
        return;
    }
    must(vm_spec_check(&record.vm_spec, &err) == 0);
    must(!strcmp(record.vm_spec.uuid, untouched.vm_spec.uuid));
    (void)vm_spec_needs_restart(&untouched.vm_spec, &record.vm_spec);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {data, size};
    (void)g_log_set_always_fatal(G_LOG_LEVEL_CRITICAL | G_LOG_LEVEL_ERROR);
    unsigned which = (uint8_t)(input_number(&input, 1) - 'a') % (N_KINDS + 2);
    const char *text = (const char *)input.at;
    if (which < N_KINDS)
        read_kind(&kinds[which], text, input.left);
    else if (which == N_KINDS)
        read_pools(text, input.left);
    else
        change_vm(text, input.left);
    return 0;
}
