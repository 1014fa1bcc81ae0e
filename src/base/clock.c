/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"

#include <stdbool.h>
#include <stdio.h>
#include <time.h>

#define CORRECTION_MAX_MS 1000

static uint64_t read_ns(clockid_t clock)
{
    struct timespec now;
    (void)clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

uint64_t clock_now_ns(void)
{
    return read_ns(CLOCK_MONOTONIC);
}

uint64_t clock_per_second(uint64_t amount, uint64_t duration_ns)
{
    return (uint64_t)((unsigned __int128)amount * NS_PER_S / (duration_ns ? duration_ns : 1));
}

uint64_t clock_boot_ns(void)
{
    return read_ns(CLOCK_BOOTTIME);
}

int64_t clock_in_order(int64_t last_ms, int64_t now_ms)
{
    return now_ms < last_ms && last_ms - now_ms < CORRECTION_MAX_MS ? last_ms : now_ms;
}

int64_t clock_wall_ms(void)
{
    static int64_t said_ms; /* atomic */
    int64_t now_ms = (int64_t)(read_ns(CLOCK_REALTIME) / NS_PER_MS);
    int64_t last_ms = __atomic_load_n(&said_ms, __ATOMIC_RELAXED);
    int64_t next_ms;
    do
        next_ms = clock_in_order(last_ms, now_ms);
    while (next_ms != last_ms && !__atomic_compare_exchange_n(&said_ms, &last_ms, next_ms, false,
                                                              __ATOMIC_RELAXED, __ATOMIC_RELAXED));
    return next_ms;
}

char *clock_format(int64_t wall_ms, char text[CLOCK_TEXT_SIZE])
{
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm utc;
    (void)gmtime_r(&seconds, &utc);
    char date[24];
    (void)strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &utc);
    (void)snprintf(text, CLOCK_TEXT_SIZE, "%s.%03dZ", date, (int)(wall_ms % 1000));
    return text;
}
