/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/beat.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"

#define PAGE_BYTES 4096

/* One counter as a watcher saw it last. */
struct pulse {
    const uint64_t *counter;
    uint64_t seen;
    unsigned silent; /* wake-ups without a change */
};

int beat_map(int fd, struct beat **ret_beat, struct err *err)
{
    struct stat facts;
    if (fstat(fd, &facts) < 0)
        return err_sys(err, errno, "heartbeat-failed", "cannot use the page for the heartbeat");
    if (facts.st_size != PAGE_BYTES)
        return err_set(err, ERR_CORRUPT, "heartbeat-failed", "the page for the heartbeat has %lld bytes",
                       (long long)facts.st_size);
    void *page = mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (page == MAP_FAILED)
        return err_sys(err, errno, "heartbeat-failed", "cannot map the page for the heartbeat");
    *ret_beat = page;
    return 0;
}

int beat_new(struct beat **ret_beat, int *ret_fd, struct err *err)
{
    auto_fd fd = memfd_create("heartbeat", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0 || ftruncate(fd, PAGE_BYTES) < 0 ||
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
        return err_sys(err, errno, "heartbeat-failed", "cannot make the page for the heartbeat");
    if (beat_map(fd, ret_beat, err) < 0)
        return -1;
    *ret_fd = steal_fd(&fd);
    return 0;
}

void beat_unmap(struct beat *beat)
{
    if (beat)
        (void)munmap(beat, PAGE_BYTES);
}

void beat_raise(uint64_t *counter)
{
    if (__atomic_add_fetch(counter, 1, __ATOMIC_RELAXED) == 0)
        (void)__atomic_add_fetch(counter, 1, __ATOMIC_RELAXED);
}

unsigned beat_silence_ms(const struct beat *beat)
{
    return __atomic_load_n(&beat->silent_ms, __ATOMIC_ACQUIRE);
}

/* True if the counter has been silent for `limit` wake-ups. */
static bool is_silent(struct pulse *pulse, unsigned limit)
{
    uint64_t now = __atomic_load_n(pulse->counter, __ATOMIC_RELAXED);
    bool beats = now == 0 || now != pulse->seen;
    pulse->silent = beats ? 0 : pulse->silent + 1;
    pulse->seen = now;
    return pulse->silent >= limit;
}

enum beat_end beat_watch(struct beat *beat, int pidfd, int stop_fd)
{
    struct pulse alive = {.counter = &beat->alive};
    struct pulse faults = {.counter = &beat->faults};
    struct pollfd fds[] = {{.fd = pidfd, .events = POLLIN}, {.fd = stop_fd, .events = POLLIN}};
    for (;;) {
        int ready = poll(fds, 2, BEAT_INTERVAL_MS);
        if (ready > 0)
            return fds[0].revents ? BEAT_PROCESS_ENDED : BEAT_WATCH_STOPPED;
        if (ready < 0)
            continue; /* EINTR: no time has passed that would count */
        bool waits = __atomic_load_n(&beat->guest_waits, __ATOMIC_RELAXED) ||
                     __atomic_load_n(&beat->faults, __ATOMIC_RELAXED);
        /* Both are asked each time: each counts its own silence. */
        bool is_dead = is_silent(&alive, waits ? BEAT_URGENT : BEAT_PATIENT);
        is_dead |= is_silent(&faults, BEAT_PATIENT);
        if (!is_dead)
            continue;
        unsigned ticks = alive.silent > faults.silent ? alive.silent : faults.silent;
        __atomic_store_n(&beat->silent_ms, ticks * BEAT_INTERVAL_MS, __ATOMIC_RELEASE);
        (void)syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
        return BEAT_PROCESS_KILLED;
    }
}
