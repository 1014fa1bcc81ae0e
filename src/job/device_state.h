/* SPDX-License-Identifier: Apache-2.0 */
/* QEMU's device state: read from its stream as a whole, one record to the peer, written to a stream as a
 * whole. Thread: the story's. */
#ifndef JOB_DEVICE_STATE_H
#define JOB_DEVICE_STATE_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "job/peer.h"
#include "job/watch.h"

struct device_state {
    uint8_t *bytes; /* heap; NULL when empty */
    size_t size;
};

/* All of the stream up to its end. ERR_REFUSED "device-state-too-large" beyond WIRE_DEVICE_STATE_MAX,
 * ERR_CORRUPT "device-state-empty". The descriptor stays the caller's and becomes non-blocking. */
int device_state_read(struct device_state *state, const struct watch *watch, int stream, struct err *err);
int device_state_send(const struct device_state *state, struct peer *peer, const struct watch *watch,
                      struct err *err);
/* The peer's record; ERR_CORRUPT "device-state-corrupt" if its checksum differs. */
int device_state_receive(struct device_state *state, struct peer *peer, const struct watch *watch,
                         struct err *err);
int device_state_write(const struct device_state *state, const struct watch *watch, int stream,
                       struct err *err);
void device_state_clear(struct device_state *state);

#endif
