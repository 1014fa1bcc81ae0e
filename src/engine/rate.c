/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/rate.h"

#include <poll.h>
#include <time.h>

#include "base/cancel.h"
#include "base/clock.h"

void rate_init(struct rate *rate, uint64_t bytes_s)
{
    (void)pthread_mutex_init(&rate->turn, NULL);
    rate->bytes_s = bytes_s;
    rate->next_ns = 0;
}

void rate_clear(struct rate *rate)
{
    (void)pthread_mutex_destroy(&rate->turn);
}

uint64_t rate_take(uint64_t bytes_s, uint64_t bytes, uint64_t now_ns, uint64_t *next_ns)
{
    if (*next_ns > now_ns)
        return *next_ns - now_ns;
    uint64_t earliest = now_ns > RATE_BURST_NS ? now_ns - RATE_BURST_NS : 0;
    uint64_t from = *next_ns < earliest ? earliest : *next_ns;
    unsigned __int128 cost = ((unsigned __int128)bytes * NS_PER_S + bytes_s - 1) / bytes_s;
    *next_ns = from + (uint64_t)cost;
    return 0;
}

size_t rate_piece(uint64_t bytes_s)
{
    unsigned __int128 piece = (unsigned __int128)bytes_s * RATE_PIECE_NS / NS_PER_S;
    return piece < RATE_PIECE_MIN_BYTES   ? RATE_PIECE_MIN_BYTES
           : piece > RATE_PIECE_MAX_BYTES ? RATE_PIECE_MAX_BYTES
                                          : (size_t)piece;
}

/* By the thread whose turn it is. Its bytes are taken when it is awake, not ahead of time: threads that all
 * wake late never send what each had reserved at once. */
static int wait_and_take(struct rate *rate, size_t bytes, const struct cancel *stop, struct err *err)
{
    uint64_t early_ns;
    while ((early_ns = rate_take(rate->bytes_s, bytes, clock_now_ns(), &rate->next_ns))) {
        struct timespec left = {(time_t)(early_ns / NS_PER_S), (long)(early_ns % NS_PER_S)};
        struct pollfd wait = {.fd = cancel_fd(stop), .events = POLLIN};
        (void)ppoll(&wait, 1, &left, NULL);
        if (cancel_check(stop, err) < 0)
            return -1;
    }
    return 0;
}

int rate_wait(struct rate *rate, size_t bytes, const struct cancel *stop, struct err *err)
{
    if (!rate->bytes_s)
        return 0;
    (void)pthread_mutex_lock(&rate->turn);
    int result = wait_and_take(rate, bytes, stop, err);
    (void)pthread_mutex_unlock(&rate->turn);
    return result;
}
