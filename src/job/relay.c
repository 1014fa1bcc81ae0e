/* SPDX-License-Identifier: Apache-2.0 */
#include "job/relay.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "engine/rate.h"
#include "engine/tls.h"

#define WAY_BYTES (256u << 10)
#define LOOK_MS 200
/* So long nothing that was sent is acknowledged by the other host's kernel, then the network is broken. */
#define NETWORK_MS 5000
/* What TCP itself bears: more than a stall, because it counts also a QEMU that takes nothing, however often
 * the other host's kernel says that it is there. */
#define TCP_PATIENCE_MS 15000
/* QEMU answers each request, so that one which is not answered for so long, while nothing else moves, never
 * will be. */
#define STALL_NS (9 * NS_PER_S)

/* One direction. */
struct way {
    size_t from, to; /* bytes[from .. to) wait to be passed on */
    size_t allowed;  /* of them, by the cap */
    bool is_ended;   /* nothing follows */
    uint8_t bytes[WAY_BYTES];
};

static bool is_empty(const struct way *way)
{
    return way->from == way->to;
}

/* What lies in this host's own buffer has not crossed: it is filled for a while also when nothing moves. */
static void count_crossed(struct relay *relay)
{
    int unsent = 0;
    (void)ioctl(relay->config.stream.fd, SIOCOUTQ, &unsent);
    uint64_t bytes = stream_bytes(&relay->config.stream);
    uint64_t crossed = unsent > 0 && (uint64_t)unsent < bytes ? bytes - (uint64_t)unsent : bytes;
    if (crossed == relay->n_bytes)
        return;
    relay->changed_ns = clock_now_ns();
    __atomic_store_n(&relay->n_bytes, crossed, __ATOMIC_RELAXED);
}

static int lost(const struct relay *relay, int errnum, struct err *err)
{
    char name[64];
    (void)snprintf(name, sizeof name, "connection %u of a disk to the other host", relay->config.number);
    return stream_failed(&relay->config.stream, errnum, "peer-lost", name, err);
}

static bool may_wait(int errnum)
{
    return errnum == EAGAIN || errnum == EINTR;
}

/* QEMU's end fails only when QEMU has closed it, or is gone. */
static void read_local(struct relay *relay)
{
    struct way *out = relay->out;
    ssize_t got = recv(relay->config.local, out->bytes, sizeof out->bytes, MSG_DONTWAIT);
    if (got < 0 && may_wait(errno))
        return;
    out->is_ended = got <= 0;
    out->from = 0;
    out->to = got > 0 ? (size_t)got : 0;
}

static void write_local(struct relay *relay)
{
    struct way *in = relay->in;
    ssize_t sent =
        send(relay->config.local, in->bytes + in->from, in->to - in->from, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent >= 0) {
        in->from += (size_t)sent;
    } else if (!may_wait(errno)) {
        relay->out->is_ended = true;
        in->from = in->to;
    }
}

static int take_turn(struct relay *relay, size_t left, struct err *err)
{
    struct rate *rate = relay->config.rate;
    bool is_capped = rate && rate->bytes_s;
    size_t piece = is_capped ? rate_piece(rate->bytes_s) : left;
    relay->out->allowed = left < piece ? left : piece;
    return is_capped ? rate_wait(rate, stream_wire_size(&relay->config.stream, relay->out->allowed),
                                 relay->stop, err)
                     : 0;
}

static int send_on(struct relay *relay, struct err *err)
{
    struct way *out = relay->out;
    struct iovec part = {out->bytes + out->from, out->to - out->from};
    if (!out->allowed && take_turn(relay, part.iov_len, err) < 0)
        return -1;
    ssize_t sent = stream_send(&relay->config.stream, &part, 1, out->allowed);
    if (sent < 0)
        return may_wait(errno) ? 0 : lost(relay, errno, err);
    out->from += (size_t)sent;
    out->allowed -= (size_t)sent;
    relay->is_owed = true;
    return 0;
}

static int receive(struct relay *relay, struct err *err)
{
    struct way *in = relay->in;
    struct iovec part = {in->bytes, sizeof in->bytes};
    ssize_t got = stream_receive(&relay->config.stream, &part, 1);
    if (got < 0)
        return may_wait(errno) ? 0 : lost(relay, errno, err);
    in->is_ended = !got;
    in->from = 0;
    in->to = (size_t)got;
    relay->is_owed = false;
    relay->changed_ns = clock_now_ns();
    return 0;
}

/* As long as there is a network, the other host's kernel answers, whatever its QEMU does. */
static int check_network(const struct relay *relay, struct err *err)
{
    struct tcp_info info = {0};
    socklen_t size = sizeof info;
    if (getsockopt(relay->config.stream.fd, IPPROTO_TCP, TCP_INFO, &info, &size) < 0)
        return 0; /* a socket of a test */
    bool is_awaited = info.tcpi_unacked || info.tcpi_probes;
    return is_awaited && info.tcpi_last_ack_recv >= NETWORK_MS ? lost(relay, ETIMEDOUT, err) : 0;
}

static int check_stall(const struct relay *relay, struct err *err)
{
    unsigned waited_s = (unsigned)((clock_now_ns() - relay->changed_ns) / NS_PER_S);
    if (!relay->config.lost || !relay->is_owed || waited_s < STALL_NS / NS_PER_S)
        return 0;
    (void)err_set(err, ERR_TIMEOUT, "disk-copy-stalled",
                  "the destination did not answer a write to a disk within %u s", waited_s);
    (void)err_arg(err, "waited_s", "%u", waited_s);
    (void)err_arg(err, "number", "%u", relay->config.number);
    return err_fix(err,
                   "see that QEMU runs at the destination and its datastore answers; then migrate again");
}

static int look(struct relay *relay, struct err *err)
{
    uint64_t now_ns = clock_now_ns();
    if (now_ns - relay->looked_ns < LOOK_MS * NS_PER_MS)
        return 0;
    relay->looked_ns = now_ns;
    count_crossed(relay);
    return check_network(relay, err) < 0 ? -1 : check_stall(relay, err);
}

/* Returns the events to be polled for; a descriptor that nothing is wanted of is left out, because its end
 * would wake the thread again and again. */
static short wish(bool reads, bool writes, int *fd)
{
    if (!reads && !writes)
        *fd = -1;
    return (short)((reads ? POLLIN : 0) | (writes ? POLLOUT : 0));
}

static int wait_for_either(struct relay *relay, struct err *err)
{
    struct pollfd fds[] = {{.fd = relay->config.local},
                           {.fd = relay->config.stream.fd},
                           {.fd = cancel_fd(relay->stop), .events = POLLIN}};
    bool has_pending = is_empty(relay->in) && stream_has_pending(&relay->config.stream);
    fds[0].events = wish(is_empty(relay->out), !is_empty(relay->in), &fds[0].fd);
    fds[1].events = wish(is_empty(relay->in), !is_empty(relay->out), &fds[1].fd);
    (void)poll(fds, 3, has_pending ? 0 : LOOK_MS);
    return look(relay, err) < 0 ? -1 : cancel_check(relay->stop, err);
}

/* Each transfer is tried, and does nothing where it would have to wait. */
static int pass_on(struct relay *relay, struct err *err)
{
    if (is_empty(relay->out))
        read_local(relay);
    if (!is_empty(relay->out) && send_on(relay, err) < 0)
        return -1;
    if (is_empty(relay->in) && receive(relay, err) < 0)
        return -1;
    if (!is_empty(relay->in))
        write_local(relay);
    return 0;
}

static bool is_over(const struct relay *relay)
{
    return (relay->out->is_ended && is_empty(relay->out)) || (relay->in->is_ended && is_empty(relay->in));
}

static int carry(struct relay *relay, struct err *err)
{
    relay->changed_ns = clock_now_ns();
    while (!is_over(relay))
        if (pass_on(relay, err) < 0 || (!is_over(relay) && wait_for_either(relay, err) < 0))
            return -1;
    return 0;
}

/* Without a farewell the other side would have to take the end for a network that broke: of two QEMUs that
 * part as they should, the one that was told may close first. */
static void say_farewell(struct relay *relay)
{
    struct stream *stream = &relay->config.stream;
    if (stream->tls)
        tls_say_farewell(stream->tls);
    (void)shutdown(stream->fd, SHUT_WR);
}

static void close_both(struct relay *relay)
{
    stream_close(&relay->config.stream);
    if (relay->config.local >= 0)
        (void)close(relay->config.local);
    relay->config.local = -1;
}

static void *run(void *argument)
{
    struct relay *relay = argument;
    struct err err = {0};
    bool is_over_well = carry(relay, &err) == 0;
    bool has_failed = !is_over_well && !cancel_requested(relay->stop);
    if (is_over_well)
        say_farewell(relay);
    __atomic_store_n(&relay->n_bytes, stream_bytes(&relay->config.stream), __ATOMIC_RELAXED);
    /* First QEMU: its guest may stand until the copy has ended. */
    close_both(relay);
    if (has_failed && relay->config.lost)
        relay->config.lost(&err, relay->config.user);
    return NULL;
}

static void release(struct relay *relay)
{
    close_both(relay);
    free(relay->out);
    free(relay->in);
    cancel_free(relay->stop);
    relay->out = relay->in = NULL;
    relay->stop = NULL;
}

int relay_start(struct relay *relay, const struct relay_config *config, struct err *err)
{
    const unsigned patience_ms = TCP_PATIENCE_MS;
    *relay = (struct relay){.config = *config};
    (void)setsockopt(config->stream.fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &patience_ms, sizeof patience_ms);
    relay->out = calloc(1, sizeof *relay->out);
    relay->in = calloc(1, sizeof *relay->in);
    relay->stop = cancel_new(err);
    if (!relay->out || !relay->in)
        (void)err_sys(err, ENOMEM, "no-memory", "no memory for the connection of a disk");
    else if (relay->stop && thread_start(&relay->thread, "disk", run, relay, err) == 0)
        return 0;
    release(relay);
    return -1;
}

uint64_t relay_bytes(const struct relay *relay)
{
    return __atomic_load_n(&relay->n_bytes, __ATOMIC_RELAXED);
}

void relay_end(struct relay *relay)
{
    struct err why;
    if (!relay->stop)
        return;
    (void)err_set(&why, ERR_CANCELLED, "cancelled", "the move is over");
    cancel_trigger(relay->stop, &why);
    thread_join(&relay->thread);
    release(relay);
}
