/* SPDX-License-Identifier: Apache-2.0 */
/* One call of qemu-img, as QEMU's user, in a child that has a time limit. Main-loop thread. */
#ifndef AGENT_QEMU_IMG_H
#define AGENT_QEMU_IMG_H

#include "agent/agent.h"

/* Without data to copy it is a matter of milliseconds. */
#define QEMU_IMG_QUICK_S 60

struct qemu_img {
    struct agent *agent;
    const char *uuid;        /* of the VM, in whose run folder its words are kept meanwhile */
    const char *image;       /* as errors name it */
    const char *const *argv; /* from "qemu-img" on, ends with NULL */
    unsigned limit_s;
};
/* 0: `done` follows, once: INTERNAL "disk-image-failed" with what qemu-img said, TIMEOUT "disk-image-late".
 * -1: it could not be started. All of `call` is copied. */
struct qemu_img_child;
int qemu_img_run(const struct qemu_img *call, void (*done)(const struct err *err, void *user), void *user,
                 struct err *err);
/* The same, of a call that may take long: *ret_child until `done` begins. */
int qemu_img_start(const struct qemu_img *call, void (*done)(const struct err *err, void *user), void *user,
                   struct qemu_img_child **ret_child, struct err *err);
/* `done` follows, with an error if it comes in time. */
void qemu_img_kill(struct qemu_img_child *child);
/* What it has done of its work, 0 .. 1, by what it says with "-p"; 0 if it has said nothing. */
double qemu_img_share(const struct qemu_img_child *child);

#endif
