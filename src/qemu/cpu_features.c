/* SPDX-License-Identifier: Apache-2.0 */
#include "qemu/cpu_features.h"

#include <string.h>

#include "qemu/qmp.h"

#define ANSWER_MS 10000

struct query {
    struct qmp *qmp;
    char *model;
    JsonNode *base;
    char *features;
    void (*done)(const struct err *err, void *user);
    void *user;
};

/* QEMU lists some features twice. */
static const struct {
    const char *other, *name;
} others[] = {
    {"ffxsr", "fxsr-opt"}, {"i64", "lm"}, {"pclmuldq", "pclmulqdq"}, {"pni", "sse3"}, {"sse4-1", "sse4.1"},
    {"sse4-2", "sse4.2"},  {"xd", "nx"},
};

const char *cpu_feature_name(const char *name)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(others); i++)
        if (!strcmp(others[i].other, name))
            return others[i].name;
    return name;
}

static bool is_other_name(const char *name)
{
    return strchr(name, '_') || cpu_feature_name(name) != name;
}

/* NULL if there is none. */
static JsonObject *properties(JsonNode *result)
{
    static const char *const path[] = {"model", "props"};
    for (unsigned i = 0; i < G_N_ELEMENTS(path); i++) {
        if (!result || !JSON_NODE_HOLDS_OBJECT(result))
            return NULL;
        result = json_object_get_member(json_node_get_object(result), path[i]);
    }
    return result && JSON_NODE_HOLDS_OBJECT(result) ? json_node_get_object(result) : NULL;
}

static bool is_on(JsonObject *object, const char *name)
{
    JsonNode *node = json_object_get_member(object, name);
    return node && JSON_NODE_HOLDS_VALUE(node) && json_node_get_value_type(node) == G_TYPE_BOOLEAN &&
           json_node_get_boolean(node);
}

static int by_name(gconstpointer one, gconstpointer other)
{
    return strcmp(one, other);
}

int cpu_features_take(JsonNode *base, JsonNode *model, char ret_features[CPU_FEATURES_MAX], struct err *err)
{
    JsonObject *without = properties(base);
    JsonObject *with = properties(model);
    ret_features[0] = '\0';
    if (!without || !with)
        return err_set(err, ERR_INTERNAL, "qemu-cpu-unknown", "QEMU did not tell what its CPU model can do");
    GList *names = g_list_sort(json_object_get_members(with), by_name);
    for (const GList *link = names; link; link = link->next) {
        const char *name = link->data;
        if (is_on(with, name) && !is_on(without, name) && !is_other_name(name))
            cpu_features_add(ret_features, name);
    }
    g_list_free(names);
    return 0;
}

static void finish(struct query *query, const struct err *err)
{
    query->done(err, query->user);
    g_clear_pointer(&query->base, json_node_unref);
    g_free(query->model);
    g_free(query);
}

static void expand(struct query *query, const char *name,
                   void (*done)(JsonNode *result, const struct err *err, void *user))
{
    JsonObject *arguments = json_object_new();
    JsonObject *model = json_object_new();
    json_object_set_string_member(model, "name", name);
    json_object_set_string_member(arguments, "type", "full");
    json_object_set_object_member(arguments, "model", model);
    qmp_call(query->qmp, &(struct qmp_command){"query-cpu-model-expansion", arguments, -1, ANSWER_MS}, done,
             query);
}

static void model_done(JsonNode *result, const struct err *failed, void *user)
{
    struct query *query = user;
    struct err err = *failed;
    if (!err_is_set(&err))
        (void)cpu_features_take(query->base, result, query->features, &err);
    finish(query, &err);
}

static void base_done(JsonNode *result, const struct err *err, void *user)
{
    struct query *query = user;
    if (err_is_set(err)) {
        finish(query, err);
        return;
    }
    query->base = result ? json_node_copy(result) : NULL;
    expand(query, query->model, model_done);
}

void cpu_features_query(struct qmp *qmp, const char *model, char ret_features[CPU_FEATURES_MAX],
                        void (*done)(const struct err *err, void *user), void *user)
{
    struct query *query = g_new(struct query, 1);
    *query = (struct query){
        .qmp = qmp, .model = g_strdup(model), .features = ret_features, .done = done, .user = user};
    expand(query, "base", base_done);
}
