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
int qemu_img_run(const struct qemu_img *call, void (*done)(const struct err *err, void *user), void *user,
                 struct err *err);

#endif
