/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/cpu_baseline.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/vm_process.h"
#include "base/cleanup.h"
#include "base/fdio.h"
#include "base/log.h"
#include "model/check_table.h"
#include "model/move.h"
#include "qemu/caps.h"
#include "qemu/cpu_models.h"

#define FILE_BYTES_MAX 4096
/* QEMU's model "max" has it among its features, and it is none. */
#define SWITCH_OF_MAX "migratable"

static const struct cpu_models *models_of(const struct agent *agent, const char *accel)
{
    if (!agent->qemu)
        return NULL;
    return strcmp(accel, "kvm") != 0 ? agent->qemu->cpu_models : agent->qemu->kvm_cpu_models;
}

/* ---- what this host can do ---- */

static int most_features_first(const void *one, const void *other)
{
    const struct cpu_model *const *left = one;
    const struct cpu_model *const *right = other;
    unsigned n_left = cpu_features_count((*left)->features);
    unsigned n_right = cpu_features_count((*right)->features);
    return n_left != n_right ? (n_left < n_right ? 1 : -1) : strcmp((*left)->name, (*right)->name);
}

static void describe_models(const struct cpu_models *models, struct host_facts *facts)
{
    const struct cpu_model *whole[CPU_MODELS_MAX];
    unsigned n = 0;
    for (unsigned i = 0; i < models->n; i++)
        if (models->list[i].features && !models->list[i].missing[0])
            whole[n++] = &models->list[i];
    qsort(whole, n, sizeof whole[0], most_features_first);
    facts->n_cpu_models = MIN(n, HOST_CPU_MODELS_MAX);
    for (unsigned i = 0; i < facts->n_cpu_models; i++)
        g_strlcpy(facts->cpu_models[i], whole[i]->name, sizeof facts->cpu_models[i]);
}

/* "" if it can be had. */
static void problem_of(const struct agent *agent, const char *name, const char *accel,
                       char ret_problem[ERR_TEXT_MAX])
{
    const struct cpu_models *models = models_of(agent, accel);
    const struct cpu_model *model = cpu_models_find(models, name);
    ret_problem[0] = '\0';
    if (!models)
        (void)snprintf(ret_problem, ERR_TEXT_MAX, "what a guest can have under %s is not known there: %.200s",
                       accel, agent->qemu ? agent->facts.accel_reason : agent->facts.qemu_problem);
    else if (!model)
        (void)snprintf(ret_problem, ERR_TEXT_MAX, "its QEMU %s has no such CPU model", agent->qemu->version);
    else if (model->missing[0])
        (void)snprintf(ret_problem, ERR_TEXT_MAX, "under %s it lacks %s", accel, model->missing);
}

const struct cpu_model *cpu_baseline_look_up(const struct agent *agent, const char *name,
                                             char ret_problem[ERR_TEXT_MAX])
{
    problem_of(agent, name, agent->facts.accel, ret_problem);
    return cpu_models_find(models_of(agent, agent->facts.accel), name);
}

void cpu_baseline_describe(struct agent *agent)
{
    struct host_facts *facts = &agent->facts;
    const struct cpu_models *models = models_of(agent, facts->accel);
    facts->keeps_cpu_baseline = true;
    facts->n_cpu_models = 0;
    if (models)
        describe_models(models, facts);
    facts->cpu_baseline_problem[0] = '\0';
    if (facts->cpu_baseline[0])
        problem_of(agent, facts->cpu_baseline, facts->accel, facts->cpu_baseline_problem);
}

/* ---- the file ---- */

static char *file_path(const struct agent *agent)
{
    return g_build_filename(agent->config.state_dir, "cpu_baseline.json", NULL);
}

static void take(struct agent *agent, const char *model)
{
    g_strlcpy(agent->facts.cpu_baseline, model, sizeof agent->facts.cpu_baseline);
    cpu_baseline_describe(agent);
}

static int read_file(const char *path, char ret_model[CPU_MODEL_SIZE], struct err *err)
{
    auto_mem char *text = NULL;
    g_autoptr(JsonObject) object = NULL;
    if (fdio_read_file(path, FILE_BYTES_MAX, &text, err) < 0 || model_parse(text, -1, &object, err) < 0)
        return -1;
    g_strlcpy(ret_model, model_text(object, "cpu_model"), CPU_MODEL_SIZE);
    return 0;
}

void cpu_baseline_open(struct agent *agent)
{
    g_autofree char *path = file_path(agent);
    char model[CPU_MODEL_SIZE] = "";
    struct err err = {0};
    if (access(path, F_OK) < 0 && errno == ENOENT)
        return;
    if (read_file(path, model, &err) < 0)
        log_error(&err, "%s: no CPU baseline until the manager tells it again", path);
    take(agent, model);
}

int cpu_baseline_set(struct agent *agent, const char *model, struct err *err)
{
    g_autofree char *path = file_path(agent);
    g_autoptr(JsonObject) object = json_object_new();
    json_object_set_string_member(object, "cpu_model", model);
    g_autofree char *text = model_print(object, true);
    if (fdio_replace_file(path, text, strlen(text), 0600, err) < 0)
        return -1;
    take(agent, model);
    log_info("host %s: CPU baseline %s", agent->config.name, model[0] ? model : "none");
    return 0;
}

/* ---- one VM ---- */

int cpu_baseline_check_host(const struct agent *agent, const struct vm_spec *spec, const char *accel,
                            struct err *err)
{
    const char *baseline = agent->facts.cpu_baseline;
    char problem[ERR_TEXT_MAX];
    if (!baseline[0] || !agent->qemu) /* which is said already */
        return 0;
    problem_of(agent, baseline, accel, problem);
    if (!problem[0])
        return 0;
    return check_say(err, CHECK_CPU_BASELINE_UNSUPPORTED,
                     CHECK_ARGS({"host", agent->config.name}, {"vm", spec->name}, {"baseline", baseline},
                                {"reason", problem}));
}

static bool has_own_model(const struct vm_spec *spec)
{
    return spec->cpu_model[0] && !cpu_model_is_open(spec->cpu_model);
}

/* Of what `model` really gives a guest here. */
static void beyond(const struct cpu_model *model, const struct cpu_model *baseline,
                   char ret_beyond[CPU_FEATURES_MAX])
{
    char given[CPU_FEATURES_MAX];
    cpu_features_missing(model->features, model->missing, given);
    cpu_features_missing(given, baseline->features, ret_beyond);
}

int cpu_baseline_check_model(const struct agent *agent, const struct vm_spec *spec, const char *accel,
                             struct err *err)
{
    const struct cpu_models *models = models_of(agent, accel);
    const struct cpu_model *baseline = cpu_models_find(models, agent->facts.cpu_baseline);
    if (!baseline || !has_own_model(spec))
        return 0;
    const struct cpu_model *model = cpu_models_find(models, spec->cpu_model);
    char more[CPU_FEATURES_MAX] = "";
    char features[CPU_FEATURES_MAX] = "";
    if (model) {
        beyond(model, baseline, more);
        cpu_features_missing(more, NESTING_FEATURES, features);
        if (!features[0])
            return 0;
    }
    return check_say(err, model ? CHECK_CPU_BEYOND_BASELINE : CHECK_CPU_MODEL_UNKNOWN,
                     CHECK_ARGS({"host", agent->config.name}, {"vm", spec->name},
                                {"cpu_model", spec->cpu_model}, {"baseline", agent->facts.cpu_baseline},
                                {"qemu_version", agent->qemu->version}, {"features", features}));
}

void cpu_baseline_apply(const struct agent *agent, const char *accel, struct vm_spec *spec)
{
    const struct cpu_models *models = models_of(agent, accel);
    const struct cpu_model *baseline = cpu_models_find(models, agent->facts.cpu_baseline);
    spec->cpu_baseline[0] = '\0';
    if (!baseline)
        return;
    const struct cpu_model *model = cpu_models_find(models, spec->cpu_model);
    char more[CPU_FEATURES_MAX];
    if (!has_own_model(spec)) {
        g_strlcpy(spec->cpu_baseline, agent->facts.cpu_baseline, sizeof spec->cpu_baseline);
        spec->cpu_without[0] = '\0';
    } else if (model) {
        beyond(model, baseline, more);
        cpu_features_common(more, NESTING_FEATURES, spec->cpu_without);
    }
}

void cpu_baseline_beyond(const struct vm *vm, char ret_beyond[CPU_FEATURES_MAX])
{
    const struct cpu_model *baseline =
        cpu_models_find(models_of(vm->agent, vm->status.accel), vm->agent->facts.cpu_baseline);
    char more[CPU_FEATURES_MAX];
    ret_beyond[0] = '\0';
    if (!baseline || !vm->process)
        return;
    cpu_features_missing(vm->process->cpu_features, baseline->features, more);
    cpu_features_missing(more, SWITCH_OF_MAX, ret_beyond);
}
