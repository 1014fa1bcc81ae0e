/* SPDX-License-Identifier: Apache-2.0 */
/* What a CPU model of QEMU can do under the accelerator that this QEMU runs with, by QEMU's names. */
#ifndef QEMU_CPU_FEATURES_H
#define QEMU_CPU_FEATURES_H

#include "model/site.h"

struct qmp;

/* The model "max": all that a guest can have. */
#define CPU_MODEL_MAX "max"

/* `done` is called once, from the main loop; ret_features is filled when err is not set, and must stay valid
 * until then. A named model may have features that the machine lacks: QEMU leaves them out when it runs. */
void cpu_features_query(struct qmp *qmp, const char *model, char ret_features[CPU_FEATURES_MAX],
                        void (*done)(const struct err *err, void *user), void *user);
/* From the two answers (query-cpu-model-expansion of "base" and of the model): what is on in the model and
 * not in "base", whose switches are QEMU's own and no features. Each under one of its names. */
int cpu_features_take(JsonNode *base, JsonNode *model, char ret_features[CPU_FEATURES_MAX], struct err *err);
/* The name that cpu_features_take gives a feature which QEMU calls `name` elsewhere. */
const char *cpu_feature_name(const char *name);

#endif
