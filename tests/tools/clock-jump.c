/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A wall clock that jumps, for one process: preloaded, it adds the seconds that stand as text in the file
 * CLOCK_JUMP_FILE to what the process is told of the time of day, at each call anew. The clocks that only
 * count are left alone, as a jump of the host's own clock leaves them. (libfaketime breaks clock_nanosleep,
 * and leaves files in /dev/shm.)
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_US 1000

static int jump_fd = -1;

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("CLOCK_JUMP_FILE");
    jump_fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
}

static long jump_s(void)
{
    char text[16] = "";
    int before = errno;
    ssize_t size = pread(jump_fd, text, sizeof text - 1, 0);
    errno = before;
    return size > 0 ? strtol(text, NULL, 10) : 0;
}

__attribute__((visibility("default"))) int clock_gettime(clockid_t clock, struct timespec *ret_now)
{
    int result = (int)syscall(SYS_clock_gettime, clock, ret_now);
    if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        ret_now->tv_sec += jump_s();
    return result;
}

__attribute__((visibility("default"))) int gettimeofday(struct timeval *restrict ret_now, void *restrict zone)
{
    struct timespec now;
    int result = clock_gettime(CLOCK_REALTIME, &now);
    (void)zone;
    *ret_now = (struct timeval){.tv_sec = now.tv_sec, .tv_usec = now.tv_nsec / NS_PER_US};
    return result;
}

__attribute__((visibility("default"))) time_t time(time_t *ret_now)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    if (ret_now)
        *ret_now = now.tv_sec;
    return now.tv_sec;
}
