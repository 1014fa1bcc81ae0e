/* SPDX-License-Identifier: Apache-2.0 */
/* The CPU models that a QEMU knows under its accelerator: what each has, and what of that cannot be had. */
#ifndef QEMU_CPU_MODELS_H
#define QEMU_CPU_MODELS_H

#include <json-glib/json-glib.h>

#include "base/err.h"
#include "model/vm.h"

struct qmp;

#define CPU_MODELS_MAX 256
#define CPU_MODEL_NAME_MAX 32

struct cpu_model {
    char name[CPU_MODEL_NAME_MAX];
    char
        alias_of[CPU_MODEL_NAME_MAX]; /* its other name, with a version ("Haswell-v1"); "": it has one name */
    /* QEMU's names, one space between two; owned. */
    char *features; /* sorted; NULL: not known */
    char *missing;  /* of those, what QEMU would leave out here; "": it can be had whole */
};

struct cpu_models {
    unsigned n;
    struct cpu_model list[CPU_MODELS_MAX];
};

/* Asks for all models, then for the features of each. `done` is called once, from the main loop; *ret_models
 * (zeroes before) must stay valid until then, and holds what was learnt when err is set, too. Models without
 * a fixed meaning ("max", "host", "base") are left out. */
void cpu_models_query(struct qmp *qmp, struct cpu_models *ret_models,
                      void (*done)(const struct err *err, void *user), void *user);
/* From the answer of query-cpu-definitions: names, and what is missing. */
int cpu_models_take(JsonNode *result, struct cpu_models *ret_models, struct err *err);
/* By either name, if its features are known; NULL: there is none. */
const struct cpu_model *cpu_models_find(const struct cpu_models *models, const char *name);
/* How many names are in a text of features. */
unsigned cpu_features_count(const char *features);
void cpu_models_clear(struct cpu_models *models);

#endif
