/* SPDX-License-Identifier: Apache-2.0 */
/* Mutual proof of the one-time key on a fresh connection (wire/preamble.h). Thread: the story's. */
#ifndef JOB_AUTH_H
#define JOB_AUTH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "job/watch.h"
#include "wire/preamble.h"

#define AUTH_KEY_SIZE 32

struct auth {
    const uint8_t *key; /* AUTH_KEY_SIZE */
    const char *move_id;
    uint16_t role; /* enum wire_role */
    uint32_t channel;
};

/* Both: ERR_UNAUTHORIZED if the other side does not know the key ("wrong-key"); at the source also when the
 * door ("ticket-refused") or the job ("key-refused") behind it hangs up, or wants TLS
 * ("encryption-required"). */
int auth_as_source(const struct auth *auth, const struct watch *watch, int fd, struct err *err);
int auth_as_destination(const struct auth *auth, const struct watch *watch, int fd, struct err *err);
/* At the source: what it means that the connection ended before the proof. */
void auth_explain_end(bool was_heard, struct err *err);

#endif
