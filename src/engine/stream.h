/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes over one connected, non-blocking socket, in the clear or under TLS: what the data channels and the
 * jobs' control connection have in common. It never waits; its callers do, each in its own way. */
#ifndef ENGINE_STREAM_H
#define ENGINE_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

struct err;
struct tls;

struct stream {
    int fd;                  /* owned by who holds the stream */
    struct tls *tls;         /* its handshake is done; likewise owned. NULL: in the clear */
    uint64_t sent, received; /* bytes on the wire; atomic: snapshots read them */
};

/* As sendmsg and recvmsg, that is: -1 with EAGAIN when the socket has to be waited for. Of the parts at most
 * the first `size` bytes are sent; the array is as before on return. After EAGAIN the same bytes must be sent
 * again. Thread: one at a time; in the clear one for each direction. */
ssize_t stream_send(struct stream *stream, struct iovec *parts, size_t n_parts, size_t size);
ssize_t stream_receive(struct stream *stream, struct iovec *parts, size_t n_parts);
/* Moves the window of parts on by `done` bytes; the parts are changed. */
void stream_advance(struct iovec **parts, size_t *n_parts, size_t done);
/* Bytes have come that poll of the socket does not show. */
bool stream_has_pending(const struct stream *stream);
/* What `size` bytes are on the wire. */
size_t stream_wire_size(const struct stream *stream, size_t size);
/* Both directions. Any thread. */
uint64_t stream_bytes(const struct stream *stream);
/* After -1 with `errnum`, which is not EAGAIN: ERR_CORRUPT "stream-damaged" when bytes were changed on their
 * way, else ERR_PEER_LOST `lost_id`. `name` is the connection in words. Always -1. */
int stream_failed(const struct stream *stream, int errnum, const char *lost_id, const char *name,
                  struct err *err);
/* Ends the session, if any, and closes the socket. */
void stream_close(struct stream *stream);

#endif
