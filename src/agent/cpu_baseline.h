/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cluster's CPU baseline on this host: a named CPU model of QEMU. A VM with an open CPU model, or none,
 * is started with the baseline in its place; one with a model of its own only if that adds nothing to it.
 * Told by the manager and kept in a file, so that it holds for what starts without the manager, too.
 *
 * svm and vmx (guests of the guest) are no part of a baseline: a guest that would have them beyond it is
 * started without them. Main-loop thread.
 */
#ifndef AGENT_CPU_BASELINE_H
#define AGENT_CPU_BASELINE_H

#include "agent/agent.h"
#include "agent/vm.h"

struct cpu_model;

/* A guest with guests of its own: no test has shown yet that all they write is seen. */
#define NESTING_FEATURES "svm vmx"

/* Reads the file. One that cannot be read counts as none, and is logged. */
void cpu_baseline_open(struct agent *agent);
/* "": none. Stored when it returns 0, also if this host cannot provide it. */
int cpu_baseline_set(struct agent *agent, const char *model, struct err *err);
/* The model under this host's accelerator, NULL if it has none of that name; ret_problem: why a guest cannot
 * have it, or "". */
const struct cpu_model *cpu_baseline_look_up(const struct agent *agent, const char *name,
                                             char ret_problem[ERR_TEXT_MAX]);
/* What agent->facts say of models and baseline, anew: QEMU was asked. */
void cpu_baseline_describe(struct agent *agent);

/* REFUSED "cpu-baseline-unsupported" if the host cannot provide the baseline under that accelerator. */
int cpu_baseline_check_host(const struct agent *agent, const struct vm_spec *spec, const char *accel,
                            struct err *err);
/* REFUSED "cpu-beyond-baseline" if the VM has a CPU model of its own that has more. */
int cpu_baseline_check_model(const struct agent *agent, const struct vm_spec *spec, const char *accel,
                             struct err *err);
/* For a start: sets cpu_baseline, and what the guest of a named model goes without. */
void cpu_baseline_apply(const struct agent *agent, const char *accel, struct vm_spec *spec);
/* What a running guest has beyond the baseline; "": nothing, or not known. */
void cpu_baseline_beyond(const struct vm *vm, char ret_beyond[CPU_FEATURES_MAX]);

#endif
