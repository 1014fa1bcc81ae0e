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

/* ERR_UNAUTHORIZED if the destination does not know the key ("wrong-key"), or the door ("ticket-refused") or
 * the job ("key-refused") behind it hangs up, or wants TLS ("encryption-required"). */
int auth_as_source(const struct auth *auth, const struct watch *watch, int fd, struct err *err);

/* The destination's part, which waits for nothing: the socket is non-blocking. */
struct auth_hearing {
    struct wire_challenge challenge;
    struct wire_answer answer;
    size_t n_answered; /* bytes of it that came */
};
int auth_challenge(struct auth_hearing *ret_hearing, int fd, struct err *err);
/* 0: the source has proven the key and has our proof. ERR_RETRY: again once the socket is readable. Else
 * ERR_UNAUTHORIZED "wrong-key", or ERR_PEER_LOST. */
int auth_hear(const struct auth *auth, struct auth_hearing *hearing, int fd, struct err *err);

/* At the source: what it means that the connection ended before the proof. */
void auth_explain_end(bool was_heard, struct err *err);

#endif
