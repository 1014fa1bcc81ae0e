/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cancel.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct cancel {
    int fd; /* written only at creation */
    atomic_bool requested;
    pthread_mutex_t lock; /* protects why */
    struct err why;
};

struct cancel *cancel_new(struct err *err)
{
    struct cancel *cancel = calloc(1, sizeof *cancel);
    if (!cancel) {
        (void)err_sys(err, ENOMEM, "no-memory", "no memory for a cancellation");
        return NULL;
    }
    cancel->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (cancel->fd < 0) {
        (void)err_sys(err, errno, "eventfd-failed", "cannot make an eventfd");
        free(cancel);
        return NULL;
    }
    (void)pthread_mutex_init(&cancel->lock, NULL);
    return cancel;
}

void cancel_free(struct cancel *cancel)
{
    if (!cancel)
        return;
    (void)close(cancel->fd);
    (void)pthread_mutex_destroy(&cancel->lock);
    free(cancel);
}

void cancel_trigger(struct cancel *cancel, const struct err *why)
{
    (void)pthread_mutex_lock(&cancel->lock);
    if (!atomic_load(&cancel->requested)) {
        cancel->why = *why;
        atomic_store(&cancel->requested, true);
        (void)eventfd_write(cancel->fd, 1);
    }
    (void)pthread_mutex_unlock(&cancel->lock);
}

bool cancel_requested(const struct cancel *cancel)
{
    return atomic_load(&cancel->requested);
}

int cancel_fd(const struct cancel *cancel)
{
    return cancel->fd;
}

int cancel_check(const struct cancel *cancel, struct err *err)
{
    if (!cancel_requested(cancel))
        return 0;
    struct cancel *locked = (struct cancel *)cancel;
    (void)pthread_mutex_lock(&locked->lock);
    if (err)
        *err = cancel->why;
    (void)pthread_mutex_unlock(&locked->lock);
    return -1;
}
