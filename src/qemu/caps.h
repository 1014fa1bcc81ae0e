/* SPDX-License-Identifier: Apache-2.0 */
/* What a QEMU binary can do, asked over QMP from one that was started with `-machine none`. */
#ifndef QEMU_CAPS_H
#define QEMU_CAPS_H

#include <json-glib/json-glib.h>
#include <stdbool.h>

#include "base/err.h"
#include "model/site.h"

struct cpu_models;
struct qmp;

#define CAPS_MACHINES_MAX 128
/* The oldest QEMU that the agent works with. */
#define CAPS_MAJOR_MIN 7
#define CAPS_MINOR_MIN 2

struct qemu_caps {
    int major, minor, micro;
    char version[32]; /* "7.2.22" */
    char machine[32]; /* what "q35" stands for: "pc-q35-7.2" */
    unsigned n_machines;
    char machines[CAPS_MACHINES_MAX][32];
    /* What a guest can have under TCG and under KVM (qemu/cpu_features.h); "": not known. Not by caps_query.
     */
    char cpu_features[CPU_FEATURES_MAX];
    char kvm_cpu_features[CPU_FEATURES_MAX];
    /* The models that can be named, in the same way; owned, caps_free or caps_clear. */
    struct cpu_models *cpu_models, *kvm_cpu_models;
};

/* Asks for version and machines. `done` is called once, from the main loop; *ret_caps is filled when err is
 * not set and must stay valid until then. */
void caps_query(struct qmp *qmp, struct qemu_caps *ret_caps, void (*done)(const struct err *err, void *user),
                void *user);
/* The two answers, for caps_query and its test. */
int caps_take_version(struct qemu_caps *caps, JsonNode *result, struct err *err);
int caps_take_machines(struct qemu_caps *caps, JsonNode *result, struct err *err);
/* REFUSED "qemu-too-old" below CAPS_MAJOR_MIN.CAPS_MINOR_MIN. */
int caps_check_version(const struct qemu_caps *caps, struct err *err);
/* What `caps` owns. */
void caps_clear(struct qemu_caps *caps);
/* NULL ok. */
void caps_free(struct qemu_caps *caps);
bool caps_has_machine(const struct qemu_caps *caps, const char *machine);

#endif
