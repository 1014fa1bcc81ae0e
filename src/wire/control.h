/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Payloads of the control connection. READY, COMMIT, RUNNING, ABORTED and RETURNED are a bare secret of
 * WIRE_SECRET_SIZE bytes (the preimage that the agents drew); BYE is empty. Thread: any.
 */
#ifndef WIRE_CONTROL_H
#define WIRE_CONTROL_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define WIRE_SECRET_SIZE 32u

/* DEVICE_STATE: this head, then `length` bytes. */
struct wire_device_state {
    uint64_t length;
    uint64_t xxh3; /* XXH3_64bits of the bytes */
};
#define WIRE_DEVICE_STATE_SIZE 16u
#define WIRE_DEVICE_STATE_MAX (256ull << 20)

void wire_device_state_encode(const struct wire_device_state *state,
                              uint8_t ret_bytes[WIRE_DEVICE_STATE_SIZE]);
/* `record_length`: of the record's whole payload. ERR_CORRUPT if it and the head disagree. */
int wire_device_state_decode(const uint8_t bytes[WIRE_DEVICE_STATE_SIZE], uint64_t record_length,
                             struct wire_device_state *ret_state, struct err *err);

/* ERROR: code, errno, then id, phase, side, message, cause, fix as length-prefixed texts; then, unless the
 * record ends here, the number of arguments and for each its name and its value, prefixed alike. */
#define WIRE_ERROR_MIN (8u + 6u * 2u)
#define WIRE_ERROR_MAX 4096u

/* Returns the length; `size` >= WIRE_ERROR_MAX always suffices, 0 if it does not fit. */
size_t wire_error_encode(const struct err *what, uint8_t *ret_bytes, size_t size);
/* The peer's error as a value. Texts longer than ours are cut, control characters become '?', a code we do
 * not know becomes ERR_INTERNAL. ERR_CORRUPT for a malformed payload. */
int wire_error_decode(const uint8_t *bytes, size_t size, struct err *ret_what, struct err *err);

#endif
