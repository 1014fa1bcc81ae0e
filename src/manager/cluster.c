/* SPDX-License-Identifier: Apache-2.0 */
#include "manager/cluster.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "manager/agent_client.h"
#include "manager/events.h"
#include "manager/vm_events.h"
#include "model/check_table.h"
#include "model/move.h"

#define META_CPU_BASELINE "cpu_baseline"
#define CALL_TIMEOUT_S 10
#define BEST_SHOWN 3

struct cluster {
    char cpu_baseline[CPU_MODEL_SIZE];
};

static void take(const char *value, void *user)
{
    struct cluster *cluster = user;
    (void)g_strlcpy(cluster->cpu_baseline, value, sizeof cluster->cpu_baseline);
}

int cluster_open(struct manager *manager, struct err *err)
{
    manager->cluster = g_new0(struct cluster, 1);
    return db_meta_get(manager->db, META_CPU_BASELINE, take, manager->cluster, err) < 0 ? -1 : 0;
}

void cluster_free(struct cluster *cluster)
{
    g_free(cluster);
}

const char *cluster_cpu_baseline(const struct manager *manager)
{
    return manager->cluster->cpu_baseline;
}

static const char *name_of(const char *baseline)
{
    return baseline[0] ? baseline : CPU_BASELINE_NONE;
}

/* ---- what the hosts say ---- */

void cluster_problem(const char *baseline, const struct host_facts *facts, char ret_problem[ERR_TEXT_MAX])
{
    ret_problem[0] = '\0';
    if (!baseline[0])
        return;
    if (!facts->keeps_cpu_baseline)
        (void)g_strlcpy(ret_problem, "its agent is of a version without CPU baselines: upgrade it",
                        ERR_TEXT_MAX);
    else if (!strcmp(facts->cpu_baseline, baseline))
        (void)g_strlcpy(ret_problem, facts->cpu_baseline_problem, ERR_TEXT_MAX);
}

void cluster_look(const struct host *host, const struct host_facts *facts)
{
    char before[ERR_TEXT_MAX] = "", now[ERR_TEXT_MAX];
    const char *baseline = cluster_cpu_baseline(host->manager);
    if (host->has_facts)
        cluster_problem(baseline, &host->facts, before);
    cluster_problem(baseline, facts, now);
    if (now[0] && strcmp(before, now) != 0)
        host_tell(host, EVENT_HOST_CPU_BASELINE, NULL, now);
}

int cluster_check_start(const struct host *host, const char *vm, struct err *err)
{
    const char *baseline = cluster_cpu_baseline(host->manager);
    char problem[ERR_TEXT_MAX];
    if (!host->has_facts)
        return 0;
    cluster_problem(baseline, &host->facts, problem);
    if (problem[0])
        return check_say(
            err, CHECK_CPU_BASELINE_UNSUPPORTED,
            CHECK_ARGS({"host", host->name}, {"vm", vm}, {"baseline", baseline}, {"reason", problem}));
    if (!host->facts.keeps_cpu_baseline || !strcmp(host->facts.cpu_baseline, baseline))
        return 0;
    err_set(err, ERR_RETRY, "cpu-baseline-untold", "host '%s' is being told the CPU baseline of the cluster",
            host->name);
    (void)err_arg(err, "host", "%s", host->name);
    (void)err_arg(err, "vm", "%s", vm);
    return err_fix(err, "start VM '%s' again in a few seconds", vm);
}

static bool has_model(const struct host_facts *facts, const char *name)
{
    for (uint32_t i = 0; i < facts->n_cpu_models; i++)
        if (!strcmp(facts->cpu_models[i], name))
            return true;
    return false;
}

/* Names of models, in the order of the first host; NULL: no host yet. */
static void keep_common(struct host *host, void *user)
{
    GPtrArray **names = user;
    if (host->state != HOST_CONNECTED || !host->has_facts)
        return;
    if (!*names) {
        *names = g_ptr_array_new_with_free_func(g_free);
        for (uint32_t i = 0; i < host->facts.n_cpu_models; i++)
            g_ptr_array_add(*names, g_strdup(host->facts.cpu_models[i]));
        return;
    }
    for (guint i = (*names)->len; i-- > 0;)
        if (!has_model(&host->facts, (*names)->pdata[i]))
            g_ptr_array_remove_index(*names, i);
}

/* What all connected hosts can provide, the best first; g_ptr_array_unref. */
static GPtrArray *possible(struct manager *manager)
{
    GPtrArray *names = NULL;
    inventory_each_host(manager->inventory, keep_common, &names);
    return names ? names : g_ptr_array_new_with_free_func(g_free);
}

/* ---- the document ---- */

static void add_host(struct host *host, void *user)
{
    JsonObject *object = json_object_new();
    char problem[ERR_TEXT_MAX] = "";
    if (host->has_facts)
        cluster_problem(cluster_cpu_baseline(host->manager), &host->facts, problem);
    json_object_set_string_member(object, "host", host->name);
    json_object_set_boolean_member(object, "connected", host->state == HOST_CONNECTED);
    json_object_set_string_member(object, "cpu_baseline",
                                  name_of(host->has_facts ? host->facts.cpu_baseline : ""));
    json_object_set_string_member(object, "problem", problem);
    json_array_add_object_element(user, object);
}

static JsonArray *vms_with_more(struct manager *manager)
{
    g_autoptr(GArray) vms = inventory_vms(manager->inventory);
    JsonArray *list = json_array_new();
    for (guint i = 0; i < vms->len; i++) {
        const struct vm_status *vm = &g_array_index(vms, struct vm_status, i);
        if (!vm->cpu_beyond_baseline[0])
            continue;
        JsonObject *object = json_object_new();
        json_object_set_string_member(object, "vm", vm->spec.name);
        json_object_set_string_member(object, "vm_uuid", vm->spec.uuid);
        json_object_set_string_member(object, "host", vm->host);
        json_object_set_string_member(object, "cpu_beyond_baseline", vm->cpu_beyond_baseline);
        json_array_add_object_element(list, object);
    }
    return list;
}

JsonObject *cluster_json(struct manager *manager)
{
    JsonObject *object = json_object_new();
    JsonArray *hosts = json_array_new(), *models = json_array_new();
    g_autoptr(GPtrArray) names = possible(manager);
    inventory_each_host(manager->inventory, add_host, hosts);
    for (guint i = 0; i < names->len; i++)
        json_array_add_string_element(models, names->pdata[i]);
    json_object_set_string_member(object, "cpu_baseline", name_of(cluster_cpu_baseline(manager)));
    json_object_set_array_member(object, "possible", models);
    json_object_set_array_member(object, "hosts", hosts);
    json_object_set_array_member(object, "power_cycle_needed", vms_with_more(manager));
    return object;
}

/* ---- telling ---- */

/* Freed by whoever is called. */
struct word {
    struct manager *manager;
    char host[MODEL_NAME_MAX];
    struct change *change; /* that waits for it; NULL: none */
};

static struct word *word_new(const struct host *host, struct change *change)
{
    struct word *word = g_new0(struct word, 1);
    word->manager = host->manager;
    word->change = change;
    (void)g_strlcpy(word->host, host->name, sizeof word->host);
    return word;
}

static void tell(struct host *host, struct change *change, http_done done)
{
    JsonObject *body = json_object_new();
    json_object_set_string_member(body, "cpu_model", cluster_cpu_baseline(host->manager));
    agent_call(host, &(struct http_call){"PUT", "/v1/cpu-baseline", body, CALL_TIMEOUT_S, NULL}, done,
               word_new(host, change));
}

static void heard(JsonObject *object, const struct err *err, void *user)
{
    g_autofree struct word *word = user;
    struct host *host = inventory_find_host(word->manager->inventory, word->host);
    (void)object;
    if (host)
        host->is_told_baseline = false;
    if (err_is_set(err))
        log_error(err, "host %s does not take the CPU baseline", word->host); /* the next poll tries again */
}

void cluster_work(struct host *host)
{
    if (!host->facts.keeps_cpu_baseline || host->is_told_baseline ||
        !strcmp(host->facts.cpu_baseline, cluster_cpu_baseline(host->manager)))
        return;
    host->is_told_baseline = true;
    tell(host, NULL, heard);
}

/* ---- a change ---- */

struct change {
    struct manager *manager;
    struct http_request *request;
    char model[CPU_MODEL_SIZE];
    unsigned n_waiting; /* hosts that owe an answer, and one for whoever asks them */
    GList *refusing;    /* owned; objects {host, problem, missing}, by host */
};

static void change_free(struct change *change)
{
    g_list_free_full(change->refusing, (GDestroyNotify)json_object_unref);
    g_free(change);
}

static int by_host(gconstpointer one, gconstpointer other)
{
    return strcmp(model_text((JsonObject *)one, "host"), model_text((JsonObject *)other, "host"));
}

static void note_problem(struct change *change, const char *host, const char *problem, const char *missing)
{
    JsonObject *object = json_object_new();
    json_object_set_string_member(object, "host", host);
    json_object_set_string_member(object, "problem", problem);
    json_object_set_string_member(object, "missing", missing);
    change->refusing = g_list_insert_sorted(change->refusing, object, by_host);
}

/* With all hosts and all that they lack, which an error has no room for, beside it. */
static void refuse(struct change *change)
{
    g_autoptr(GString) hosts = g_string_new(NULL), reason = g_string_new(NULL), best = g_string_new(NULL);
    g_autoptr(GPtrArray) names = possible(change->manager);
    JsonArray *list = json_array_new();
    struct err err = {0};
    for (const GList *at = change->refusing; at; at = at->next) {
        const char *host = model_text(at->data, "host");
        g_string_append_printf(hosts, "%s'%s'", hosts->len ? ", " : "", host);
        g_string_append_printf(reason, "%s%s: %s", reason->len ? "; " : "", host,
                               model_text(at->data, "problem"));
        json_array_add_object_element(list, json_object_ref(at->data));
    }
    for (guint i = 0; i < names->len && i < BEST_SHOWN; i++)
        g_string_append_printf(best, "%s%s", i ? ", " : "", (const char *)names->pdata[i]);
    (void)check_say(&err, CHECK_CPU_BASELINE_REFUSED,
                    CHECK_ARGS({"hosts", hosts->str}, {"baseline", change->model}, {"reason", reason->str},
                               {"best", best->len ? best->str : CPU_BASELINE_NONE}));
    JsonObject *document = model_error_to_json(&err);
    json_object_set_array_member(document, "hosts", list);
    http_reply(change->request, err_http_status(err.code), document);
    change_free(change);
}

static void done_one(struct change *change)
{
    if (--change->n_waiting)
        return;
    http_reply(change->request, 200, cluster_json(change->manager));
    change_free(change);
}

static void refreshed(const struct err *err, void *user)
{
    (void)err; /* it shows in the state of the host */
    done_one(user);
}

static void told(JsonObject *object, const struct err *err, void *user)
{
    g_autofree struct word *word = user;
    struct host *host = inventory_find_connected(word->manager->inventory, word->host);
    (void)object;
    if (err_is_set(err))
        log_error(err, "host %s does not take the CPU baseline", word->host);
    if (host)
        inventory_refresh(host, refreshed, word->change);
    else
        done_one(word->change);
}

static void tell_one(struct host *host, void *user)
{
    struct change *change = user;
    if (host->state != HOST_CONNECTED || !host->has_facts || !host->facts.keeps_cpu_baseline)
        return;
    change->n_waiting++;
    tell(host, change, told);
}

static void adopt(struct change *change)
{
    struct manager *manager = change->manager;
    struct cluster *cluster = manager->cluster;
    struct err err = {0};
    if (change->refusing) {
        refuse(change);
        return;
    }
    if (db_meta_set(manager->db, META_CPU_BASELINE, change->model, &err)) {
        http_fail(change->request, &err);
        change_free(change);
        return;
    }
    bool is_new = strcmp(cluster->cpu_baseline, change->model) != 0;
    (void)g_strlcpy(cluster->cpu_baseline, change->model, sizeof cluster->cpu_baseline);
    if (is_new) {
        log_info("the CPU baseline of the cluster is %s", name_of(change->model));
        g_autoptr(JsonObject) document = json_object_new();
        json_object_set_string_member(document, "cpu_baseline", name_of(change->model));
        events_emit(manager->events, EVENT_CLUSTER_CHANGED,
                    &(struct event){.user = http_user(change->request),
                                    .detail = name_of(change->model),
                                    .document = document});
    }
    change->n_waiting = 1;
    inventory_each_host(manager->inventory, tell_one, change);
    done_one(change);
}

static void answered(JsonObject *object, const struct err *err, void *user)
{
    g_autofree struct word *word = user;
    struct change *change = word->change;
    if (err_is_set(err) || !object)
        note_problem(change, word->host, err_is_set(err) ? err->message : "it answered nothing", "");
    else if (model_text(object, "problem")[0])
        note_problem(change, word->host, model_text(object, "problem"), model_text(object, "missing"));
    if (!--change->n_waiting)
        adopt(change);
}

static void ask_one(struct host *host, void *user)
{
    struct change *change = user;
    char problem[ERR_TEXT_MAX];
    if (host->state != HOST_CONNECTED || !host->has_facts)
        return;
    if (!host->facts.keeps_cpu_baseline) {
        cluster_problem(change->model, &host->facts, problem);
        note_problem(change, host->name, problem, "");
        return;
    }
    g_autofree char *name = g_uri_escape_string(change->model, NULL, FALSE);
    g_autofree char *path = g_strdup_printf("/v1/cpu-models/%s", name);
    change->n_waiting++;
    agent_call_for_user(host, &(struct http_call){"GET", path, NULL, CALL_TIMEOUT_S, NULL}, answered,
                        word_new(host, change));
}

void cluster_set_cpu_baseline(struct manager *manager, struct http_request *request, const char *model)
{
    struct change *change = g_new0(struct change, 1);
    change->manager = manager;
    change->request = request;
    change->n_waiting = 1;
    (void)g_strlcpy(change->model, model, sizeof change->model);
    if (model[0])
        inventory_each_host(manager->inventory, ask_one, change);
    if (!--change->n_waiting)
        adopt(change);
}
