/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/link.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "engine/halt.h"
#include "engine/rate.h"

#define SILENCE_MS 5000
#define SMALL_MAX 64

void link_init(struct link *link)
{
    /* All of these are improvements that a unix socket, as tests may use, does without. */
    int on = 1;
    unsigned silence = SILENCE_MS;
    int idle_s = 2, interval_s = 1, count = 3;
    (void)setsockopt(link->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    (void)setsockopt(link->fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &silence, sizeof silence);
    (void)setsockopt(link->fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    (void)setsockopt(link->fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof idle_s);
    (void)setsockopt(link->fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, sizeof interval_s);
    (void)setsockopt(link->fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof count);
}

void link_reopen(struct link *link, int fd)
{
    link->fd = fd;
    link->send_seq = link->receive_seq = 0;
    link_init(link);
}

static void count_bytes(uint64_t *counter, size_t bytes)
{
    (void)__atomic_fetch_add(counter, bytes, __ATOMIC_RELAXED);
}

uint64_t link_bytes(const struct link *link)
{
    return __atomic_load_n(&link->sent, __ATOMIC_RELAXED) +
           __atomic_load_n(&link->received, __ATOMIC_RELAXED);
}

/* After a transfer that did not work: waits until it may, or says why it never will. */
static int wait_or_fail(struct link *link, int errnum, short events, struct err *err)
{
    if (errnum != EAGAIN && errnum != EINTR) {
        (void)err_sys(err, errnum, "peer-lost", "data channel %u to the other host broke", link->number);
        err->code = ERR_PEER_LOST;
        return -1;
    }
    struct pollfd fds[] = {{.fd = link->fd, .events = events}, {.fd = halt_fd(link->halt), .events = POLLIN}};
    (void)poll(fds, 2, -1);
    return halt_check(link->halt, err);
}

/* Moves the window of parts on by `done` bytes. */
static void advance(struct iovec **parts, size_t *n_parts, size_t done)
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

/* One sendmsg of at most `piece` bytes. */
static ssize_t send_piece(struct link *link, struct iovec *parts, size_t n_parts, size_t piece)
{
    size_t used = 0, bytes = 0;
    while (used < n_parts && used < IOV_MAX && bytes < piece)
        bytes += parts[used++].iov_len;
    size_t surplus = bytes > piece ? bytes - piece : 0;
    struct msghdr header = {.msg_iov = parts, .msg_iovlen = used};
    parts[used - 1].iov_len -= surplus;
    ssize_t sent = sendmsg(link->fd, &header, MSG_NOSIGNAL | MSG_DONTWAIT);
    parts[used - 1].iov_len += surplus;
    return sent;
}

static int send_all(struct link *link, struct iovec *parts, size_t n_parts, struct err *err)
{
    bool is_capped = link->rate && link->rate->bytes_s;
    size_t left = 0, allowed = 0;
    for (size_t i = 0; i < n_parts; i++)
        left += parts[i].iov_len;
    if (!is_capped)
        allowed = left;
    while (left) {
        if (!allowed) {
            allowed = left < RATE_PIECE_BYTES ? left : RATE_PIECE_BYTES;
            if (rate_wait(link->rate, allowed, link->halt, err) < 0)
                return -1;
        }
        ssize_t sent = send_piece(link, parts, n_parts, allowed);
        if (sent < 0) {
            if (wait_or_fail(link, errno, POLLOUT, err) < 0)
                return -1;
            continue;
        }
        count_bytes(&link->sent, (size_t)sent);
        advance(&parts, &n_parts, (size_t)sent);
        left -= (size_t)sent;
        allowed -= (size_t)sent;
    }
    return 0;
}

int link_send(struct link *link, uint32_t type, struct iovec *parts, size_t n_parts, struct err *err)
{
    uint8_t header[WIRE_RECORD_HEADER_SIZE];
    struct wire_record record = {.type = type, .seq = link->send_seq++};
    for (size_t i = 1; i < n_parts; i++)
        record.length += parts[i].iov_len;
    wire_record_encode(&record, header);
    parts[0] = (struct iovec){header, sizeof header};
    return send_all(link, parts, n_parts, err);
}

int link_send_small(struct link *link, uint32_t type, const void *payload, size_t size, struct err *err)
{
    uint8_t copy[SMALL_MAX];
    assert(size <= sizeof copy);
    if (size)
        memcpy(copy, payload, size);
    struct iovec parts[2] = {{0}, {copy, size}};
    return link_send(link, type, parts, size ? 2 : 1, err);
}

int link_receive_parts(struct link *link, struct iovec *parts, size_t n_parts, struct err *err)
{
    advance(&parts, &n_parts, 0);
    while (n_parts) {
        struct msghdr header = {.msg_iov = parts, .msg_iovlen = n_parts < IOV_MAX ? n_parts : IOV_MAX};
        ssize_t got = recvmsg(link->fd, &header, MSG_DONTWAIT);
        if (got == 0)
            return err_set(err, ERR_PEER_LOST, "peer-lost", "the other host closed data channel %u",
                           link->number);
        if (got < 0) {
            if (wait_or_fail(link, errno, POLLIN, err) < 0)
                return -1;
            continue;
        }
        count_bytes(&link->received, (size_t)got);
        advance(&parts, &n_parts, (size_t)got);
        if (halt_check(link->halt, err) < 0)
            return -1;
    }
    return 0;
}

int link_receive(struct link *link, void *data, size_t size, struct err *err)
{
    struct iovec part = {data, size};
    return link_receive_parts(link, &part, 1, err);
}

static int skip(struct link *link, uint64_t length, struct err *err)
{
    uint8_t sink[4096];
    while (length) {
        size_t piece = length < sizeof sink ? (size_t)length : sizeof sink;
        if (link_receive(link, sink, piece, err) < 0)
            return -1;
        length -= piece;
    }
    return 0;
}

int link_receive_header(struct link *link, struct wire_record *ret_record, struct err *err)
{
    for (;;) {
        uint8_t bytes[WIRE_RECORD_HEADER_SIZE];
        if (link_receive(link, bytes, sizeof bytes, err) < 0)
            return -1;
        if (wire_record_decode(bytes, link->receive_seq, ret_record, err) < 0)
            return err_prefix(err, "data channel %u", link->number);
        link->receive_seq++;
        if (ret_record->known)
            return 0;
        if (skip(link, ret_record->length, err) < 0)
            return -1;
    }
}
