/* SPDX-License-Identifier: Apache-2.0 */
#include "qemu/qmp.h"

#include "qemu/caps.h"

#include <stdio.h>
#include <string.h>

#include "model/move.h"
#include "qemu/cpu_models.h"

#define ANSWER_MS 10000

struct query {
    struct qmp *qmp;
    struct qemu_caps *caps;
    void (*done)(const struct err *err, void *user);
    void *user;
};

int caps_take_version(struct qemu_caps *caps, JsonNode *result, struct err *err)
{
    JsonNode *node = result && JSON_NODE_HOLDS_OBJECT(result)
                         ? json_object_get_member(json_node_get_object(result), "qemu")
                         : NULL;
    if (!node || !JSON_NODE_HOLDS_OBJECT(node))
        return err_set(err, ERR_INTERNAL, "qemu-version-unknown", "QEMU did not tell its version");
    JsonObject *version = json_node_get_object(node);
    caps->major = (int)model_int(version, "major", 0);
    caps->minor = (int)model_int(version, "minor", 0);
    caps->micro = (int)model_int(version, "micro", 0);
    (void)snprintf(caps->version, sizeof caps->version, "%d.%d.%d", caps->major, caps->minor, caps->micro);
    return 0;
}

int caps_take_machines(struct qemu_caps *caps, JsonNode *result, struct err *err)
{
    if (!result || !JSON_NODE_HOLDS_ARRAY(result))
        return err_set(err, ERR_INTERNAL, "qemu-machines-unknown", "QEMU did not list its machine types");
    JsonArray *list = json_node_get_array(result);
    caps->n_machines = 0;
    caps->machine[0] = '\0';
    for (guint i = 0; i < json_array_get_length(list); i++) {
        JsonNode *node = json_array_get_element(list, i);
        if (!JSON_NODE_HOLDS_OBJECT(node))
            continue;
        JsonObject *machine = json_node_get_object(node);
        const char *name = model_text(machine, "name");
        const char *alias = model_text(machine, "alias");
        if (!name[0] || strlen(name) >= sizeof caps->machine || caps->n_machines == CAPS_MACHINES_MAX)
            continue;
        g_strlcpy(caps->machines[caps->n_machines++], name, sizeof caps->machines[0]);
        if (!strcmp(alias, "q35"))
            g_strlcpy(caps->machine, name, sizeof caps->machine);
    }
    if (!caps->machine[0])
        return err_set(err, ERR_INTERNAL, "qemu-no-q35", "this QEMU has no machine type q35");
    return 0;
}

int caps_check_version(const struct qemu_caps *caps, struct err *err)
{
    if (caps->major > CAPS_MAJOR_MIN || (caps->major == CAPS_MAJOR_MIN && caps->minor >= CAPS_MINOR_MIN))
        return 0;
    (void)err_set(err, ERR_REFUSED, "qemu-too-old", "QEMU %s is too old, %d.%d or later is needed",
                  caps->version, CAPS_MAJOR_MIN, CAPS_MINOR_MIN);
    (void)err_arg(err, "version", "%s", caps->version);
    (void)err_arg(err, "major_min", "%d", CAPS_MAJOR_MIN);
    (void)err_arg(err, "minor_min", "%d", CAPS_MINOR_MIN);
    return err_fix(err, "install QEMU %d.%d or later", CAPS_MAJOR_MIN, CAPS_MINOR_MIN);
}

static void models_free(struct cpu_models *models)
{
    if (models)
        cpu_models_clear(models);
    g_free(models);
}

void caps_clear(struct qemu_caps *caps)
{
    models_free(g_steal_pointer(&caps->cpu_models));
    models_free(g_steal_pointer(&caps->kvm_cpu_models));
}

void caps_free(struct qemu_caps *caps)
{
    if (caps)
        caps_clear(caps);
    g_free(caps);
}

bool caps_has_machine(const struct qemu_caps *caps, const char *machine)
{
    for (unsigned i = 0; i < caps->n_machines; i++)
        if (!strcmp(caps->machines[i], machine))
            return true;
    return false;
}

static void finish(struct query *query, const struct err *err)
{
    query->done(err, query->user);
    g_free(query);
}

static void machines_done(JsonNode *result, const struct err *failed, void *user)
{
    struct query *query = user;
    struct err err = *failed;
    if (!err_is_set(&err))
        (void)caps_take_machines(query->caps, result, &err);
    finish(query, &err);
}

static void version_done(JsonNode *result, const struct err *failed, void *user)
{
    struct query *query = user;
    struct err err = *failed;
    if (err_is_set(&err) || caps_take_version(query->caps, result, &err) < 0) {
        finish(query, &err);
        return;
    }
    qmp_call(query->qmp, &(struct qmp_command){"query-machines", NULL, -1, ANSWER_MS}, machines_done, query);
}

void caps_query(struct qmp *qmp, struct qemu_caps *ret_caps, void (*done)(const struct err *err, void *user),
                void *user)
{
    struct query *query = g_new(struct query, 1);
    *query = (struct query){.qmp = qmp, .caps = ret_caps, .done = done, .user = user};
    memset(ret_caps, 0, sizeof *ret_caps);
    qmp_call(qmp, &(struct qmp_command){"query-version", NULL, -1, ANSWER_MS}, version_done, query);
}
