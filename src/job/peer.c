/* SPDX-License-Identifier: Apache-2.0 */
#include "job/peer.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "engine/tls.h"
#include "wire/control.h"

#define REST_PATIENCE_NS (10 * NS_PER_S) /* for the rest of a record that has begun */
#define EXPLAIN_PATIENCE_NS NS_PER_S

static const struct awaited awaited_record = {"no-record", "the next record on the control connection"};
static const struct awaited awaited_rest = {"record-cut-short", "the rest of a record that had begun"};
static const struct awaited awaited_end = {"no-end", "the end of the control connection"};

int peer_send(struct peer *peer, const struct watch *watch, uint32_t type, const struct peer_payload *payload,
              struct err *err)
{
    uint8_t header[WIRE_RECORD_HEADER_SIZE];
    struct wire_record record = {
        .type = type, .length = payload->size + payload->tail_size, .seq = peer->n_sent};
    wire_record_encode(&record, header);
    struct iovec parts[] = {{header, sizeof header},
                            {(void *)(uintptr_t)payload->data, payload->size},
                            {(void *)(uintptr_t)payload->tail, payload->tail_size}};
    if (watch_send(watch, &peer->stream, parts, 3, err) < 0)
        return -1;
    peer->n_sent++;
    return 0;
}

int peer_read(struct peer *peer, const struct watch *watch, void *data, size_t size, struct err *err)
{
    struct watch_input rest = {data, size, clock_now_ns() + REST_PATIENCE_NS, &awaited_rest};
    return watch_receive(watch, &peer->stream, &rest, err);
}

static int skip(struct peer *peer, const struct watch *watch, uint64_t size, struct err *err)
{
    uint8_t buffer[4096];
    while (size) {
        size_t step = size < sizeof buffer ? (size_t)size : sizeof buffer;
        if (peer_read(peer, watch, buffer, step, err) < 0)
            return -1;
        size -= step;
    }
    return 0;
}

/* Always -1, with the peer's error if its record can be read. */
static int become_peer_error(struct peer *peer, const struct watch *watch, uint64_t length, struct err *err)
{
    uint8_t bytes[WIRE_ERROR_MAX];
    struct err theirs;
    if (peer_read(peer, watch, bytes, (size_t)length, err) < 0 ||
        wire_error_decode(bytes, (size_t)length, &theirs, err) < 0)
        return -1;
    (void)snprintf(theirs.side, sizeof theirs.side, "%s", peer->is_source ? "source" : "destination");
    *err = theirs;
    return -1;
}

/* Who waited in vain says what the other said last. */
static int say_last(const struct peer *peer, struct err *err)
{
    const char *who = peer->is_source ? "source" : "destination";
    if (err->code != ERR_TIMEOUT)
        return -1;
    if (!peer->heard_ns)
        return err_cause(err, "nothing was heard of the %s on this connection", who);
    return err_cause(err, "the last record of the %s, %s, came %.1f s before", who,
                     wire_type_name(peer->heard_type), (double)(clock_now_ns() - peer->heard_ns) / 1e9);
}

int peer_next(struct peer *peer, const struct watch *watch, uint64_t deadline_ns,
              struct wire_record *ret_record, struct err *err)
{
    for (;;) {
        uint8_t header[WIRE_RECORD_HEADER_SIZE];
        if (watch_wait_stream(watch, &peer->stream, deadline_ns, &awaited_record, err) < 0)
            return say_last(peer, err);
        if (peer_read(peer, watch, header, sizeof header, err) < 0 ||
            wire_record_decode(header, peer->n_received, ret_record, err) < 0)
            return -1;
        peer->n_received++;
        peer->heard_type = ret_record->type;
        peer->heard_ns = clock_now_ns();
        if (ret_record->type == WIRE_ERROR)
            return become_peer_error(peer, watch, ret_record->length, err);
        if (ret_record->known)
            return 0;
        if (skip(peer, watch, ret_record->length, err) < 0)
            return -1;
    }
}

static int out_of_turn(const struct wire_record *record, struct err *err)
{
    return err_set(err, ERR_CORRUPT, "record-out-of-turn", "a %s record of %llu bytes came out of turn",
                   wire_type_name(record->type), (unsigned long long)record->length);
}

int peer_expect(struct peer *peer, const struct watch *watch, uint32_t type, void *ret_data, size_t size,
                struct err *err)
{
    struct wire_record record;
    if (peer_next(peer, watch, WATCH_FOREVER, &record, err) < 0)
        return -1;
    if (record.type != type || record.length != size)
        return out_of_turn(&record, err);
    return peer_read(peer, watch, ret_data, size, err);
}

int peer_unexpected(struct peer *peer, const struct watch *watch, struct err *err)
{
    struct wire_record record;
    if (peer_next(peer, watch, clock_now_ns() + REST_PATIENCE_NS, &record, err) < 0)
        return -1;
    return out_of_turn(&record, err);
}

bool peer_has_reason(struct peer *peer, const struct watch *watch, struct err *err)
{
    if (peer->stream.fd < 0)
        return false;
    struct wire_record record;
    struct err found;
    /* Records that were due are passed over: the ERROR, if there is one, is the last. */
    uint64_t deadline_ns = clock_now_ns() + EXPLAIN_PATIENCE_NS;
    int got;
    do
        got = peer_next(peer, watch, deadline_ns, &record, &found);
    while (got == 0 && skip(peer, watch, record.length, &found) == 0);
    if (got == 0 || !found.side[0] || cancel_requested(watch->stop))
        return false;
    *err = found;
    return true;
}

void peer_explain(struct peer *peer, struct err *err)
{
    struct err none = {0};
    struct cancel *never = cancel_new(&none);
    if (!never)
        return;
    struct watch watch = {.stop = never, .qemu_pidfd = -1, .us = peer->is_source ? "destination" : "source"};
    (void)peer_has_reason(peer, &watch, err);
    cancel_free(never);
}

void peer_tell(struct peer *peer, const struct err *why)
{
    uint8_t payload[WIRE_RECORD_HEADER_SIZE + WIRE_ERROR_MAX];
    if (peer->stream.fd < 0)
        return;
    size_t size = wire_error_encode(why, payload + WIRE_RECORD_HEADER_SIZE, WIRE_ERROR_MAX);
    struct wire_record record = {.type = WIRE_ERROR, .length = size, .seq = peer->n_sent};
    wire_record_encode(&record, payload);
    /* A frozen peer's full socket is no reason to wait: it learns from the end of the connection. */
    struct iovec all = {payload, WIRE_RECORD_HEADER_SIZE + size};
    (void)stream_send(&peer->stream, &all, 1, all.iov_len);
}

void peer_linger(struct peer *peer, const struct watch *watch, uint64_t patience_ns)
{
    if (peer->stream.fd < 0)
        return;
    if (peer->stream.tls)
        tls_say_farewell(peer->stream.tls);
    (void)shutdown(peer->stream.fd, SHUT_WR);
    uint64_t deadline_ns = clock_now_ns() + patience_ns;
    struct err err;
    uint8_t ignored[4096];
    while (watch_wait(watch, peer->stream.fd, POLLIN, deadline_ns, &awaited_end, &err) == 0 &&
           read(peer->stream.fd, ignored, sizeof ignored) > 0)
        ;
}

void peer_renew(struct peer *peer, struct stream stream)
{
    peer_close(peer);
    peer->stream = stream;
    peer->n_sent = peer->n_received = 0;
    peer->heard_ns = 0;
}

void peer_close(struct peer *peer)
{
    stream_close(&peer->stream);
}
