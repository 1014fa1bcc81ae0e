/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/stream.h"

#include <errno.h>
#include <limits.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "engine/tls.h"

static void count(uint64_t *counter, size_t bytes)
{
    (void)__atomic_fetch_add(counter, bytes, __ATOMIC_RELAXED);
}

static ssize_t send_clear(int fd, struct iovec *parts, size_t n_parts, size_t size)
{
    size_t used = 0, bytes = 0;
    while (used < n_parts && used < IOV_MAX && bytes < size)
        bytes += parts[used++].iov_len;
    size_t surplus = bytes > size ? bytes - size : 0;
    struct msghdr header = {.msg_iov = parts, .msg_iovlen = used};
    if (used)
        parts[used - 1].iov_len -= surplus;
    ssize_t sent = sendmsg(fd, &header, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (used)
        parts[used - 1].iov_len += surplus;
    return sent;
}

ssize_t stream_send(struct stream *stream, struct iovec *parts, size_t n_parts, size_t size)
{
    if (stream->tls) {
        ssize_t taken = tls_send(stream->tls, parts, n_parts, size);
        count(&stream->sent, tls_take_sent(stream->tls));
        return taken;
    }
    ssize_t sent = send_clear(stream->fd, parts, n_parts, size);
    if (sent > 0)
        count(&stream->sent, (size_t)sent);
    return sent;
}

ssize_t stream_receive(struct stream *stream, struct iovec *parts, size_t n_parts)
{
    if (stream->tls) {
        ssize_t taken = tls_receive(stream->tls, parts, n_parts);
        count(&stream->received, tls_take_received(stream->tls));
        return taken;
    }
    struct msghdr header = {.msg_iov = parts, .msg_iovlen = n_parts < IOV_MAX ? n_parts : IOV_MAX};
    ssize_t got = recvmsg(stream->fd, &header, MSG_DONTWAIT);
    if (got > 0)
        count(&stream->received, (size_t)got);
    return got;
}

void stream_advance(struct iovec **parts, size_t *n_parts, size_t done)
{
    while (*n_parts && done >= (*parts)->iov_len) {
        done -= (*parts)->iov_len;
        (*parts)++;
        (*n_parts)--;
    }
    if (done) {
        (*parts)->iov_base = (char *)(*parts)->iov_base + done;
        (*parts)->iov_len -= done;
    }
}

bool stream_has_pending(const struct stream *stream)
{
    return stream->tls && tls_has_pending(stream->tls);
}

size_t stream_wire_size(const struct stream *stream, size_t size)
{
    return stream->tls ? size + (size + TLS_RECORD_MAX - 1) / TLS_RECORD_MAX * TLS_RECORD_OVERHEAD : size;
}

uint64_t stream_bytes(const struct stream *stream)
{
    return __atomic_load_n(&stream->sent, __ATOMIC_RELAXED) +
           __atomic_load_n(&stream->received, __ATOMIC_RELAXED);
}

int stream_failed(const struct stream *stream, int errnum, const char *lost_id, const char *name,
                  struct err *err)
{
    if (stream->tls && errnum == EBADMSG) {
        (void)err_set(err, ERR_CORRUPT, "stream-damaged", "what came over %s is not what the other host sent",
                      name);
        (void)err_cause(err, "%s", tls_problem(stream->tls));
        return err_fix(err, "look for what changes bytes on the migration network, and migrate again");
    }
    (void)err_sys(err, errnum, lost_id, "%s broke", name);
    if (err)
        err->code = ERR_PEER_LOST;
    return -1;
}

void stream_close(struct stream *stream)
{
    tls_free(stream->tls);
    if (stream->fd >= 0)
        (void)close(stream->fd);
    *stream = (struct stream){.fd = -1};
}
