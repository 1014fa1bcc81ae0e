/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The QEMU guest agent inside a guest, over the socket of its virtio-serial port. One connection is one
 * command: what an earlier one left behind is thrown away first (guest-sync-delimited), so a guest agent that
 * starts late never obeys an old command. The guest may be hostile: what it sends is bounded in size and
 * time. On the default main context; never blocks.
 */
#ifndef QEMU_QGA_H
#define QEMU_QGA_H

#include <json-glib/json-glib.h>
#include <stdint.h>

#include "base/err.h"

struct qga_call;

/* Exactly once, and not before qga_call has returned; the call is over then. err is set, or `result` is the
 * member "return" (borrowed; may be NULL). round_trip_ns: from the command to its answer.
 * TIMEOUT "guest-agent-silent"; REFUSED "guest-agent-refused" with the guest's own words as the cause;
 * PEER_LOST "guest-agent-lost". */
typedef void (*qga_done)(JsonNode *result, uint64_t round_trip_ns, const struct err *err, void *user);

struct qga_command {
    const char *path; /* of the socket */
    const char *name;
    JsonObject *arguments; /* consumed, may be NULL */
    unsigned timeout_ms;   /* for all of it */
};
struct qga_call *qga_call(const struct qga_command *command, qga_done done, void *user);
/* `done` will not be called. NULL ok. */
void qga_cancel(struct qga_call *call);

#endif
