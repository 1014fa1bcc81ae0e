/* SPDX-License-Identifier: Apache-2.0 */
#include "job/pulse.h"

#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

static void *run(void *argument)
{
    const struct pulse *pulse = argument;
    struct pollfd stop = {.fd = pulse->stop_fd, .events = POLLIN};
    do
        beat_raise(&pulse->beat->alive);
    while (poll(&stop, 1, BEAT_INTERVAL_MS) <= 0);
    return NULL;
}

int pulse_start(struct pulse *pulse, struct beat *beat, struct err *err)
{
    pulse->beat = beat;
    pulse->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (pulse->stop_fd < 0)
        return err_sys(err, errno, "eventfd-failed", "cannot make an eventfd");
    return thread_start(&pulse->thread, "pulse", run, pulse, err);
}

void pulse_end(struct pulse *pulse)
{
    if (pulse->thread.started)
        (void)eventfd_write(pulse->stop_fd, 1);
    thread_join(&pulse->thread);
    if (pulse->beat)
        __atomic_store_n(&pulse->beat->alive, 0, __ATOMIC_RELAXED);
    if (pulse->stop_fd >= 0)
        (void)close(pulse->stop_fd);
    pulse->stop_fd = -1;
}
