/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/halt.h"

#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

static int qemu_died(struct err *err)
{
    return err_set(err, ERR_PEER_LOST, "qemu-died", "the QEMU process of the VM ended");
}

static void *watch(void *argument)
{
    struct halt *halt = argument;
    struct pollfd fds[] = {
        {.fd = halt->stop_fd, .events = POLLIN},
        {.fd = cancel_fd(halt->outer), .events = POLLIN},
        {.fd = halt->qemu_pidfd, .events = POLLIN},
    };
    while (poll(fds, 3, -1) < 0 && errno == EINTR)
        ;
    struct err why = {0};
    if (fds[0].revents)
        return NULL;
    if (cancel_check(halt->outer, &why) == 0)
        (void)qemu_died(&why);
    halt_set(halt, &why);
    return NULL;
}

int halt_start(struct halt *halt, struct err *err)
{
    halt->inner = cancel_new(err);
    if (!halt->inner)
        return -1;
    halt->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (halt->stop_fd < 0)
        return err_sys(err, errno, "eventfd-failed", "cannot make an eventfd");
    return thread_start(&halt->watch, "watch", watch, halt, err);
}

void halt_set(struct halt *halt, const struct err *why)
{
    cancel_trigger(halt->inner, why);
    halt->wake(halt->user);
}

int halt_check(const struct halt *halt, struct err *err)
{
    return cancel_check(halt->inner, err);
}

int halt_fd(const struct halt *halt)
{
    return cancel_fd(halt->inner);
}

void halt_end(struct halt *halt)
{
    if (!halt->inner)
        return;
    struct err over = {0};
    (void)err_set(&over, ERR_CANCELLED, "over", "the attempt is over");
    halt_set(halt, &over);
    if (halt->watch.started)
        (void)eventfd_write(halt->stop_fd, 1);
    thread_join(&halt->watch);
}

void halt_clear(struct halt *halt)
{
    if (!halt->inner)
        return;
    if (halt->stop_fd >= 0)
        (void)close(halt->stop_fd);
    cancel_free(halt->inner);
    halt->inner = NULL;
}

int halt_ioctl_error(int errnum, const char *id, const char *what, struct err *err)
{
    if (errnum != ESRCH && errnum != ENOMEM)
        return err_sys(err, errnum, id, "%s", what);
    (void)qemu_died(err);
    return err_cause(err, "%s said so", what);
}
