/* SPDX-License-Identifier: Apache-2.0 */
/* The first words on a fresh connection (wire/preamble.h): preamble, then the mutual proof of the one-time
 * key, which under encryption is the TLS handshake. Thread: the story's. */
#ifndef JOB_INTRODUCE_H
#define JOB_INTRODUCE_H

#include <stdint.h>

#include "base/err.h"
#include "ctl/ctl.h"
#include "engine/stream.h"
#include "job/auth.h"
#include "job/watch.h"
#include "wire/preamble.h"

/* A connection's purpose. */
struct introduction {
    const struct ctl_job_spec *spec; /* its key and ticket are needed until all connections are made */
    uint16_t role;                   /* enum wire_role */
    uint32_t channel;
};

/* Both sides: `stream` is connected and in the clear, and has its session afterwards if the spec says so. A
 * failure leaves it to the caller, who closes it. ERR_UNAUTHORIZED if the other side does not know the key
 * ("wrong-key"), speaks in the clear where it must not ("encryption-required"), or the reverse
 * ("encryption-refused"), or no TLS at all ("not-tls"); at the source also when the door ("ticket-refused")
 * or the job ("key-refused") behind it hangs up. */

/* Takes at most a few seconds, whatever the destination does. */
int introduce_as_source(const struct introduction *us, const struct watch *watch, struct stream *stream,
                        struct err *err);

/* The destination's part waits for nothing, so that it can hear many at once. */
struct introduction_heard {
    struct tls *tls; /* owned */
    struct auth_hearing hearing;
};
/* `security` is what the source's preamble asked for (enum wire_security). The socket is non-blocking. */
int introduce_begin_hearing(const struct introduction *us, uint32_t security, const struct stream *stream,
                            struct introduction_heard *ret_heard, struct err *err);
/* 0: the other side is the source. ERR_RETRY: again once the socket has *ret_events of poll. */
int introduce_hear(const struct introduction *us, struct introduction_heard *heard, struct stream *stream,
                   short *ret_events, struct err *err);
/* What is left of it; after it was heard, nothing. */
void introduce_forget(struct introduction_heard *heard);

#endif
