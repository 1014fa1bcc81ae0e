/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/link.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "engine/checksum.h"
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
    (void)setsockopt(link->stream.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    (void)setsockopt(link->stream.fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &silence, sizeof silence);
    (void)setsockopt(link->stream.fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    (void)setsockopt(link->stream.fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof idle_s);
    (void)setsockopt(link->stream.fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, sizeof interval_s);
    (void)setsockopt(link->stream.fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof count);
}

void link_reopen(struct link *link, int fd, struct tls *tls)
{
    link->stream.fd = fd;
    link->stream.tls = tls;
    link->send_seq = link->receive_seq = 0;
    link_init(link);
}

/* After a transfer that did not work: waits until it may, or says why it never will. */
static int wait_or_fail(struct link *link, int errnum, short events, struct err *err)
{
    if (errnum != EAGAIN && errnum != EINTR) {
        char name[48];
        (void)snprintf(name, sizeof name, "data channel %u to the other host", link->number);
        return stream_failed(&link->stream, errnum, "peer-lost", name, err);
    }
    struct pollfd fds[] = {{.fd = link->stream.fd, .events = events},
                           {.fd = halt_fd(link->halt), .events = POLLIN}};
    (void)poll(fds, 2, -1);
    return halt_check(link->halt, err);
}

static int wait_for_turn(struct link *link, size_t bytes, struct err *err)
{
    uint64_t begin_ns = clock_now_ns();
    int result = rate_wait(link->rate, stream_wire_size(&link->stream, bytes), link->halt->inner, err);
    link->held_ns += clock_now_ns() - begin_ns;
    return result;
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
            size_t piece = rate_piece(link->rate->bytes_s);
            allowed = left < piece ? left : piece;
            if (wait_for_turn(link, allowed, err) < 0)
                return -1;
        }
        ssize_t sent = stream_send(&link->stream, parts, n_parts, allowed);
        if (sent < 0) {
            if (wait_or_fail(link, errno, POLLOUT, err) < 0)
                return -1;
            continue;
        }
        stream_advance(&parts, &n_parts, (size_t)sent);
        left -= (size_t)sent;
        allowed -= (size_t)sent;
    }
    return 0;
}

static uint32_t sum_on_wire(uint64_t sum)
{
    return (uint32_t)sum ? (uint32_t)sum : 1;
}

int link_send(struct link *link, uint32_t type, struct iovec *parts, size_t n_parts, struct err *err)
{
    uint8_t header[WIRE_RECORD_HEADER_SIZE];
    struct wire_record record = {.type = type, .seq = link->send_seq++};
    uint64_t sum = 0;
    for (size_t i = 1; i < n_parts; i++)
        record.length += parts[i].iov_len;
    for (size_t i = 1; i < n_parts && i <= 2; i++)
        sum = XXH3_64bits_withSeed(parts[i].iov_base, parts[i].iov_len, sum);
    record.sum = sum_on_wire(sum);
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
    stream_advance(&parts, &n_parts, 0);
    while (n_parts) {
        ssize_t got = stream_receive(&link->stream, parts, n_parts);
        if (got == 0)
            return err_set(err, ERR_PEER_LOST, "peer-lost", "the other host closed data channel %u",
                           link->number);
        if (got < 0) {
            if (wait_or_fail(link, errno, POLLIN, err) < 0)
                return -1;
            continue;
        }
        stream_advance(&parts, &n_parts, (size_t)got);
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

int link_receive_told(struct link *link, void *data, size_t size, struct err *err)
{
    if (link_receive(link, data, size, err) < 0)
        return -1;
    link->sum = XXH3_64bits_withSeed(data, size, link->sum);
    return 0;
}

int link_check_sum(const struct link *link, struct err *err)
{
    if (!link->told_sum || link->told_sum == sum_on_wire(link->sum))
        return 0;
    return err_set(err, ERR_CORRUPT, "record-sum", "what a record on data channel %u says arrived damaged",
                   link->number);
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
        link->told_sum = ret_record->sum;
        link->sum = 0;
        if (ret_record->known)
            return 0;
        if (skip(link, ret_record->length, err) < 0)
            return -1;
    }
}
