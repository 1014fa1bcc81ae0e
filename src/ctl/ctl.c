/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/ctl.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define HEADER_SIZE offsetof(struct ctl_msg, body)

void ctl_fill(struct ctl_msg *msg, uint32_t type, uint32_t serial, const void *body, size_t size)
{
    msg->type = type;
    msg->serial = serial;
    msg->length = (uint32_t)size;
    if (size)
        memcpy(msg->body, body, size);
}

int ctl_body(const struct ctl_msg *msg, void *ret_body, size_t size, struct err *err)
{
    if (msg->length != size)
        return err_set(err, ERR_CORRUPT, "control-message-size",
                       "control message %u has %u bytes, expected %zu", msg->type, msg->length, size);
    memcpy(ret_body, msg->body, size);
    return 0;
}

int ctl_send(int fd, const struct ctl_msg *msg, const int *fds, size_t n_fds, struct err *err)
{
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(CTL_FDS_MAX * sizeof(int))];
    } control = {0};
    struct iovec data = {.iov_base = (void *)msg, .iov_len = HEADER_SIZE + msg->length};
    struct msghdr header = {.msg_iov = &data, .msg_iovlen = 1};
    if (msg->length > CTL_BODY_MAX || n_fds > CTL_FDS_MAX)
        return err_set(err, ERR_INTERNAL, "control-message-size", "control message %u is too large",
                       msg->type);
    if (n_fds) {
        header.msg_control = control.space;
        header.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
        struct cmsghdr *rights = CMSG_FIRSTHDR(&header);
        rights->cmsg_level = SOL_SOCKET;
        rights->cmsg_type = SCM_RIGHTS;
        rights->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
        memcpy(CMSG_DATA(rights), fds, n_fds * sizeof(int));
    }
    ssize_t sent;
    do
        sent = sendmsg(fd, &header, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    if (sent >= 0)
        return 0;
    if (errno == EAGAIN)
        return err_set(err, ERR_RETRY, "control-socket-full", "the control socket is full");
    if (errno == EPIPE || errno == ECONNRESET || errno == ENOTCONN)
        return err_set(err, ERR_PEER_LOST, "control-peer-lost",
                       "the other end of the control socket is gone");
    return err_sys(err, errno, "control-send-failed", "cannot send control message %u", msg->type);
}

/* Keeps at most `room` of the received descriptors, closes the others; true if some had to be closed. */
static int take_fds(struct msghdr *header, int *ret_fds, size_t room, size_t *ret_count)
{
    int surplus = 0;
    *ret_count = 0;
    for (struct cmsghdr *at = CMSG_FIRSTHDR(header); at; at = CMSG_NXTHDR(header, at)) {
        if (at->cmsg_level != SOL_SOCKET || at->cmsg_type != SCM_RIGHTS)
            continue;
        size_t count = (at->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(at) + i * sizeof fd, sizeof fd);
            if (*ret_count < room) {
                ret_fds[(*ret_count)++] = fd;
            } else {
                (void)close(fd);
                surplus = 1;
            }
        }
    }
    return surplus;
}

int ctl_recv(int fd, struct ctl_msg *ret_msg, int *ret_fds, size_t *n_fds, struct err *err)
{
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(CTL_FDS_MAX * sizeof(int))];
    } control;
    struct iovec data = {.iov_base = ret_msg, .iov_len = sizeof *ret_msg};
    struct msghdr header = {.msg_iov = &data,
                            .msg_iovlen = 1,
                            .msg_control = control.space,
                            .msg_controllen = sizeof control.space};
    size_t room = n_fds ? *n_fds : 0;
    size_t count = 0;
    ssize_t got;
    do
        got = recvmsg(fd, &header, MSG_CMSG_CLOEXEC);
    while (got < 0 && errno == EINTR);
    if (n_fds)
        *n_fds = 0;
    if (got < 0 && errno == EAGAIN)
        return err_set(err, ERR_RETRY, "control-socket-empty", "no control message yet");
    if (got == 0 || (got < 0 && errno == ECONNRESET))
        return err_set(err, ERR_PEER_LOST, "control-peer-lost",
                       "the other end of the control socket is gone");
    if (got < 0)
        return err_sys(err, errno, "control-receive-failed", "cannot receive a control message");
    int surplus = take_fds(&header, ret_fds, room, &count);
    bool is_sound = (size_t)got >= HEADER_SIZE && ret_msg->length <= CTL_BODY_MAX &&
                    (size_t)got == HEADER_SIZE + ret_msg->length && !surplus &&
                    !(header.msg_flags & MSG_TRUNC);
    if (!is_sound || (header.msg_flags & MSG_CTRUNC)) {
        for (size_t i = 0; i < count; i++)
            (void)close(ret_fds[i]);
        /* Cut off although there was room: the kernel could not install it. */
        if (is_sound && count < CTL_FDS_MAX)
            return err_sys(err, EMFILE, "no-descriptor", "a descriptor came that this process cannot take");
        return err_set(err, ERR_CORRUPT, "control-message-malformed",
                       "a malformed control message of %zd bytes arrived", got);
    }
    if (n_fds)
        *n_fds = count;
    return 0;
}
