/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/rate.h"

#include <poll.h>
#include <time.h>

#include "base/clock.h"
#include "engine/halt.h"

#define BURST_NS (5 * NS_PER_MS)

void rate_init(struct rate *rate, uint64_t bytes_s)
{
    (void)pthread_mutex_init(&rate->lock, NULL);
    rate->bytes_s = bytes_s;
    rate->next_ns = 0;
}

void rate_clear(struct rate *rate)
{
    (void)pthread_mutex_destroy(&rate->lock);
}

uint64_t rate_reserve(uint64_t bytes_s, uint64_t bytes, uint64_t now_ns, uint64_t *next_ns)
{
    uint64_t earliest = now_ns > BURST_NS ? now_ns - BURST_NS : 0;
    if (*next_ns < earliest)
        *next_ns = earliest;
    uint64_t start = *next_ns;
    *next_ns += (uint64_t)((unsigned __int128)bytes * NS_PER_S / bytes_s);
    return start > now_ns ? start : now_ns;
}

int rate_wait(struct rate *rate, size_t bytes, const struct halt *halt, struct err *err)
{
    if (!rate->bytes_s)
        return 0;
    uint64_t now = clock_now_ns();
    (void)pthread_mutex_lock(&rate->lock);
    uint64_t start = rate_reserve(rate->bytes_s, bytes, now, &rate->next_ns);
    (void)pthread_mutex_unlock(&rate->lock);
    while (now < start) {
        struct timespec left = {(time_t)((start - now) / NS_PER_S), (long)((start - now) % NS_PER_S)};
        struct pollfd wait = {.fd = halt_fd(halt), .events = POLLIN};
        (void)ppoll(&wait, 1, &left, NULL);
        if (halt_check(halt, err) < 0)
            return -1;
        now = clock_now_ns();
    }
    return 0;
}
