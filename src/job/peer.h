/* SPDX-License-Identifier: Apache-2.0 */
/* The control connection: records to and from the job on the other side. Thread: the story's. */
#ifndef JOB_PEER_H
#define JOB_PEER_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "engine/stream.h"
#include "job/watch.h"
#include "wire/hello.h"
#include "wire/record.h"

struct peer {
    struct stream stream; /* owned; fd -1: not connected */
    bool is_source;       /* the other side is the source */
    uint64_t n_sent;
    uint64_t n_received;
    uint32_t heard_type; /* the last record, for who waits in vain for the next one ... */
    uint64_t heard_ns;   /* ... and when it came; 0: none yet */
};

/* One record; `tail` (may be NULL) follows `data` in the same payload. */
struct peer_payload {
    const void *data;
    size_t size;
    const void *tail;
    size_t tail_size;
};
int peer_send(struct peer *peer, const struct watch *watch, uint32_t type, const struct peer_payload *payload,
              struct err *err);

/* The next record's header. An ERROR record becomes the error (with the peer's phase and side). */
int peer_next(struct peer *peer, const struct watch *watch, uint64_t deadline_ns,
              struct wire_record *ret_record, struct err *err);
int peer_read(struct peer *peer, const struct watch *watch, void *data, size_t size, struct err *err);
/* The next record must be a `type` of exactly `size` bytes. */
int peer_expect(struct peer *peer, const struct watch *watch, uint32_t type, void *ret_data, size_t size,
                struct err *err);
/* The connection became readable although nothing was due: an ERROR, its end, or nonsense. Always -1. */
int peer_unexpected(struct peer *peer, const struct watch *watch, struct err *err);

/* After a failure that looks like a lost peer: if the peer said why, that becomes the error. Waits at most a
 * second, less if the connection ends. */
void peer_explain(struct peer *peer, struct err *err);
/* True, and *err is the peer's reason, if it gave one. Waits as peer_explain. */
bool peer_has_reason(struct peer *peer, const struct watch *watch, struct err *err);
/* Goes on over another connection, from record 0; the old one is closed. */
void peer_renew(struct peer *peer, struct stream stream);
/* Tells the peer why this side ends, without waiting. */
void peer_tell(struct peer *peer, const struct err *why);
/* Ends our direction and waits until the peer ended its own, so that nothing sent is lost; at most
 * patience_ns. */
void peer_linger(struct peer *peer, const struct watch *watch, uint64_t patience_ns);
void peer_close(struct peer *peer);

/* Exchanges HELLO; *ret_choice is what both will do. */
struct peer_hello {
    const char *move_id;
    uint64_t epoch;
    uint64_t ram_size;
    uint32_t n_channels;
    bool needs_verify;
    bool is_forecast; /* not worth going on when its connections break */
};
int peer_greet(struct peer *peer, const struct watch *watch, const struct peer_hello *ours,
               struct wire_choice *ret_choice, struct err *err);

#endif
