/* SPDX-License-Identifier: Apache-2.0 */
#include "job/watch.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"

enum { SLOT_STOP, SLOT_QEMU, OWN_SLOTS };

static int timeout_ms(uint64_t end_ns)
{
    if (end_ns == WATCH_FOREVER)
        return -1;
    uint64_t now_ns = clock_now_ns();
    uint64_t left_ms = now_ns >= end_ns ? 0 : (end_ns - now_ns) / NS_PER_MS + 1;
    return left_ms > 1000000 ? 1000000 : (int)left_ms;
}

static const struct awaited awaited_room = {"no-room-to-send", "the other side to take what was sent"};

static int in_vain(const struct watch *watch, uint64_t begin_ns, const struct awaited *awaited,
                   struct err *err)
{
    uint64_t waited_ms = (clock_now_ns() - begin_ns) / NS_PER_MS;
    (void)err_set(err, ERR_TIMEOUT, awaited->id, "the %s waited %.1f s in vain for %s", watch->us,
                  (double)waited_ms / 1000, awaited->what);
    return err_arg(err, "waited_ms", "%llu", (unsigned long long)waited_ms);
}

int watch_wait_any(const struct watch *watch, struct pollfd *fds, size_t n_fds, uint64_t deadline_ns,
                   const struct awaited *awaited, struct err *err)
{
    uint64_t begin_ns = clock_now_ns();
    struct pollfd slots[OWN_SLOTS + WATCH_FDS_MAX] = {
        [SLOT_STOP] = {.fd = cancel_fd(watch->stop), .events = POLLIN},
        [SLOT_QEMU] = {.fd = watch->qemu_pidfd, .events = POLLIN}};
    if (n_fds > WATCH_FDS_MAX)
        return err_set(err, ERR_INTERNAL, "too-many-waits", "cannot wait for %zu descriptors", n_fds);
    memcpy(slots + OWN_SLOTS, fds, n_fds * sizeof *fds);
    if (watch->limit_ns && watch->limit_ns < deadline_ns)
        deadline_ns = watch->limit_ns;
    for (;;) {
        int ready = poll(slots, OWN_SLOTS + n_fds, timeout_ms(deadline_ns));
        if (ready < 0 && errno != EINTR)
            return err_sys(err, errno, "poll-failed", "cannot wait for %s", awaited->what);
        if (ready > 0 && slots[SLOT_STOP].revents)
            return cancel_check(watch->stop, err);
        if (ready > 0 && slots[SLOT_QEMU].revents)
            return err_set(err, ERR_PEER_LOST, "qemu-died", "the VM's QEMU process ended");
        if (ready > 0) {
            memcpy(fds, slots + OWN_SLOTS, n_fds * sizeof *fds);
            return 0;
        }
        if (clock_now_ns() >= deadline_ns)
            return in_vain(watch, begin_ns, awaited, err);
    }
}

int watch_wait(const struct watch *watch, int fd, short events, uint64_t deadline_ns,
               const struct awaited *awaited, struct err *err)
{
    struct pollfd one = {.fd = fd, .events = events};
    return watch_wait_any(watch, &one, 1, deadline_ns, awaited, err);
}

int watch_wait_either(const struct watch *watch, const int fds[2], uint64_t deadline_ns,
                      const struct awaited *awaited, struct err *err)
{
    struct pollfd both[2] = {{.fd = fds[0], .events = POLLIN}, {.fd = fds[1], .events = POLLIN}};
    if (watch_wait_any(watch, both, 2, deadline_ns, awaited, err) < 0)
        return -1;
    return both[0].revents ? 0 : 1;
}

int watch_wait_stream(const struct watch *watch, const struct stream *stream, uint64_t deadline_ns,
                      const struct awaited *awaited, struct err *err)
{
    return stream_has_pending(stream) ? 0 : watch_wait(watch, stream->fd, POLLIN, deadline_ns, awaited, err);
}

/* A wait for the next of them ended; if in vain, how much had come is said. */
static int say_received(const struct watch_input *input, size_t n_received, struct err *err)
{
    if (err->code == ERR_TIMEOUT && n_received)
        (void)err_cause(err, "%zu of %zu bytes had come", n_received, input->size);
    else if (err->code == ERR_TIMEOUT)
        (void)err_cause(err, "nothing of it had come");
    return -1;
}

int watch_receive(const struct watch *watch, struct stream *stream, const struct watch_input *input,
                  struct err *err)
{
    struct iovec data = {input->data, input->size};
    while (data.iov_len) {
        ssize_t got = stream_receive(stream, &data, 1);
        if (got > 0) {
            data.iov_base = (uint8_t *)data.iov_base + got;
            data.iov_len -= (size_t)got;
        } else if (!got) {
            return err_set(err, ERR_PEER_LOST, "stream-ended", "the other side closed the connection");
        } else if (errno != EAGAIN && errno != EINTR) {
            return stream_failed(stream, errno, "connection-lost", "the control connection", err);
        } else if (watch_wait(watch, stream->fd, POLLIN, input->deadline_ns, input->awaited, err) < 0) {
            return say_received(input, input->size - data.iov_len, err);
        }
    }
    return 0;
}

int watch_send(const struct watch *watch, struct stream *stream, struct iovec *parts, size_t n_parts,
               struct err *err)
{
    size_t left = 0;
    for (size_t i = 0; i < n_parts; i++)
        left += parts[i].iov_len;
    while (left) {
        ssize_t put = stream_send(stream, parts, n_parts, left);
        if (put < 0 && errno != EAGAIN && errno != EINTR)
            return stream_failed(stream, errno, "connection-lost", "the control connection", err);
        if (put < 0 && watch_wait(watch, stream->fd, POLLOUT, WATCH_FOREVER, &awaited_room, err) < 0)
            return -1;
        if (put > 0) {
            stream_advance(&parts, &n_parts, (size_t)put);
            left -= (size_t)put;
        }
    }
    return 0;
}

static int lost(struct err *err, int errnum, const char *doing)
{
    (void)err_sys(err, errnum, "connection-lost", "the connection broke while %s", doing);
    if (err)
        err->code = ERR_PEER_LOST;
    return -1;
}

int watch_read(const struct watch *watch, int fd, const struct watch_input *input, struct err *err)
{
    uint8_t *at = input->data;
    size_t size = input->size;
    while (size) {
        if (watch_wait(watch, fd, POLLIN, input->deadline_ns, input->awaited, err) < 0)
            return say_received(input, input->size - size, err);
        ssize_t got = read(fd, at, size);
        if (got < 0 && (errno == EAGAIN || errno == EINTR))
            continue;
        if (got < 0)
            return lost(err, errno, "receiving");
        if (!got)
            return err_set(err, ERR_PEER_LOST, "stream-ended", "the other side closed the connection");
        at += got;
        size -= (size_t)got;
    }
    return 0;
}

int watch_write(const struct watch *watch, int fd, const void *data, size_t size, struct err *err)
{
    const uint8_t *at = data;
    while (size) {
        ssize_t put = write(fd, at, size);
        if (put > 0) {
            at += put;
            size -= (size_t)put;
        } else if (put < 0 && errno == EAGAIN) {
            if (watch_wait(watch, fd, POLLOUT, WATCH_FOREVER, &awaited_room, err) < 0)
                return -1;
        } else if (put < 0 && errno != EINTR) {
            return lost(err, errno, "sending");
        }
    }
    return 0;
}
