/* SPDX-License-Identifier: Apache-2.0 */
/* QMP client on the default main context: one connection, calls in order, events. Never blocks. */
#ifndef QEMU_QMP_H
#define QEMU_QMP_H

#include <json-glib/json-glib.h>
#include <stdint.h>

#include "base/err.h"

struct qmp;

/* Exactly one call per command. err is set, or `result` is the "return" member (borrowed). An error answer of
 * QEMU: ERR_REFUSED, id "qemu-refused", QEMU's own text as the cause. Connection lost or no answer in time:
 * ERR_PEER_LOST / ERR_TIMEOUT: it is not known whether it ran. */
typedef void (*qmp_done)(JsonNode *result, const struct err *err, void *user);
/* Events, in order. `data` may be NULL. */
typedef void (*qmp_event)(const char *name, JsonObject *data, void *user);
/* The connection ended (QEMU died or closed it); all waiting calls have been failed before. Not called by
 * qmp_free. */
typedef void (*qmp_closed)(void *user);
typedef void (*qmp_ready)(const struct err *err, void *user);

struct qmp_config {
    const char
        *path; /* of QEMU's socket; connecting is retried until deadline_ms (QEMU makes it while it starts) */
    unsigned deadline_ms;
    qmp_ready ready; /* once: capabilities negotiated, or err */
    qmp_event event;
    qmp_closed closed;
    void *user;
};
struct qmp *qmp_new(const struct qmp_config *config);
struct qmp_command {
    const char *name;
    JsonObject *arguments; /* consumed, may be NULL */
    int fd;                /* >= 0: travels with the command (SCM_RIGHTS, for getfd), duplicated; -1: none */
    unsigned timeout_ms;
};
/* Takes what QEMU has sent and nobody has read yet: its last events, when its end was seen first. */
void qmp_take_rest(struct qmp *qmp);
void qmp_call(struct qmp *qmp, const struct qmp_command *command, qmp_done done, void *user);
/* Waiting calls end with ERR_CANCELLED before it returns. NULL ok. */
void qmp_free(struct qmp *qmp);

#endif
