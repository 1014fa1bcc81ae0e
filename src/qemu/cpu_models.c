/* SPDX-License-Identifier: Apache-2.0 */
#include "qemu/cpu_models.h"

#include <string.h>

#include "model/json.h"
#include "qemu/cpu_features.h"
#include "qemu/qmp.h"

#define ANSWER_MS 10000

struct query {
    struct qmp *qmp;
    struct cpu_models *models;
    unsigned at;
    char features[CPU_FEATURES_MAX];
    void (*done)(const struct err *err, void *user);
    void *user;
};

/* "max" and "host" are as the machine is, and "base" is nothing: what can be had whole everywhere says
 * nothing of them. */
static bool has_meaning(const char *name)
{
    return name[0] && strlen(name) < CPU_MODEL_NAME_MAX && !cpu_model_is_open(name) &&
           strcmp(name, "base") != 0;
}

static char *take_missing(JsonObject *definition)
{
    JsonNode *node = json_object_get_member(definition, "unavailable-features");
    char features[CPU_FEATURES_MAX] = "";
    JsonArray *list = node && JSON_NODE_HOLDS_ARRAY(node) ? json_node_get_array(node) : NULL;
    for (guint i = 0; list && i < json_array_get_length(list); i++) {
        JsonNode *element = json_array_get_element(list, i);
        if (json_node_get_value_type(element) == G_TYPE_STRING)
            cpu_features_add(features, cpu_feature_name(json_node_get_string(element)));
    }
    return g_strdup(features);
}

static int compare(const void *one, const void *other)
{
    return strcmp(((const struct cpu_model *)one)->name, ((const struct cpu_model *)other)->name);
}

/* A version that has a name of its own besides is the same model. */
static bool is_named_otherwise(const struct cpu_models *models, const struct cpu_model *model)
{
    for (unsigned i = 0; i < models->n; i++)
        if (!strcmp(models->list[i].alias_of, model->name))
            return true;
    return false;
}

static void model_clear(struct cpu_model *model)
{
    g_free(model->features);
    g_free(model->missing);
    *model = (struct cpu_model){0};
}

static void drop_second_names(struct cpu_models *models)
{
    unsigned kept = 0;
    for (unsigned i = 0; i < models->n; i++) {
        struct cpu_model *model = &models->list[i];
        if (is_named_otherwise(models, model))
            model->name[0] = '\0';
    }
    for (unsigned i = 0; i < models->n; i++) {
        struct cpu_model taken = models->list[i];
        models->list[i] = (struct cpu_model){0};
        if (taken.name[0])
            models->list[kept++] = taken;
        else
            model_clear(&taken);
    }
    models->n = kept;
}

int cpu_models_take(JsonNode *result, struct cpu_models *ret_models, struct err *err)
{
    if (!result || !JSON_NODE_HOLDS_ARRAY(result))
        return err_set(err, ERR_INTERNAL, "qemu-cpu-unknown", "QEMU did not list its CPU models");
    JsonArray *list = json_node_get_array(result);
    for (guint i = 0; i < json_array_get_length(list) && ret_models->n < CPU_MODELS_MAX; i++) {
        JsonNode *node = json_array_get_element(list, i);
        if (!JSON_NODE_HOLDS_OBJECT(node))
            continue;
        JsonObject *definition = json_node_get_object(node);
        const char *name = model_text(definition, "name");
        if (!has_meaning(name))
            continue;
        struct cpu_model *model = &ret_models->list[ret_models->n++];
        g_strlcpy(model->name, name, sizeof model->name);
        g_strlcpy(model->alias_of, model_text(definition, "alias-of"), sizeof model->alias_of);
        model->missing = take_missing(definition);
    }
    drop_second_names(ret_models);
    qsort(ret_models->list, ret_models->n, sizeof ret_models->list[0], compare);
    return 0;
}

const struct cpu_model *cpu_models_find(const struct cpu_models *models, const char *name)
{
    for (unsigned i = 0; models && name[0] && i < models->n; i++) {
        const struct cpu_model *model = &models->list[i];
        if (model->features && (!strcmp(model->name, name) || !strcmp(model->alias_of, name)))
            return model;
    }
    return NULL;
}

unsigned cpu_features_count(const char *features)
{
    unsigned n = features[0] != '\0';
    for (; *features; features++)
        n += *features == ' ';
    return n;
}

void cpu_models_clear(struct cpu_models *models)
{
    for (unsigned i = 0; i < models->n; i++)
        model_clear(&models->list[i]);
    models->n = 0;
}

/* ---- asking ---- */

static void finish(struct query *query, const struct err *err)
{
    query->done(err, query->user);
    g_free(query);
}

static void ask_next(struct query *query);

/* A model that QEMU does not describe stays without features: the others are good without it. */
static void on_features(const struct err *err, void *user)
{
    struct query *query = user;
    if (err_is_set(err) && (err->code == ERR_CANCELLED || err->code == ERR_PEER_LOST)) {
        finish(query, err);
        return;
    }
    if (!err_is_set(err))
        query->models->list[query->at].features = g_strdup(query->features);
    query->at++;
    ask_next(query);
}

static void ask_next(struct query *query)
{
    const struct err none = {0};
    if (query->at < query->models->n)
        cpu_features_query(query->qmp, query->models->list[query->at].name, query->features, on_features,
                           query);
    else
        finish(query, &none);
}

static void on_definitions(JsonNode *result, const struct err *failed, void *user)
{
    struct query *query = user;
    struct err err = *failed;
    if (err_is_set(&err) || cpu_models_take(result, query->models, &err) < 0)
        finish(query, &err);
    else
        ask_next(query);
}

void cpu_models_query(struct qmp *qmp, struct cpu_models *ret_models,
                      void (*done)(const struct err *err, void *user), void *user)
{
    struct query *query = g_new0(struct query, 1);
    query->qmp = qmp;
    query->models = ret_models;
    query->done = done;
    query->user = user;
    qmp_call(qmp, &(struct qmp_command){"query-cpu-definitions", NULL, -1, ANSWER_MS}, on_definitions, query);
}
