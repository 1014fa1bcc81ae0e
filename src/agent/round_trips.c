/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/round_trips.h"

#include <glib-unix.h>
#include <string.h>
#include <time.h>

#include "agent/icmp.h"
#include "base/clock.h"

#define EACH_MS 50
#define LAST_MS 1000
#define PACKET_SIZE 84u /* as ping sends them, if the path must pass no larger ones */

struct round_trips {
    struct icmp_socket icmp;
    guint source, timer;
    uint32_t count, n_sent;
    int64_t sent_ns[ROUND_TRIPS_MAX];  /* CLOCK_REALTIME, as the kernel stamps arrivals */
    int64_t taken_ns[ROUND_TRIPS_MAX]; /* 0: it has not come back */
    void (*done)(const struct round_trips_result *result, void *user);
    void *user;
};

static int64_t in_ns(const struct timespec *time)
{
    return (int64_t)time->tv_sec * (int64_t)NS_PER_S + time->tv_nsec;
}

static int64_t now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return in_ns(&now);
}

static void sum_up(const struct round_trips *trips, struct round_trips_result *result)
{
    uint64_t sum_us = 0, changes_us = 0;
    uint32_t last_us = 0;
    *result = (struct round_trips_result){.n_sent = trips->n_sent, .min_us = UINT32_MAX};
    for (uint32_t i = 0; i < trips->n_sent; i++) {
        if (!trips->taken_ns[i])
            continue;
        uint32_t us = (uint32_t)(trips->taken_ns[i] / (int64_t)NS_PER_US);
        sum_us += us;
        if (result->n_received++)
            changes_us += us > last_us ? us - last_us : last_us - us;
        last_us = us;
        result->min_us = MIN(result->min_us, us);
        result->max_us = MAX(result->max_us, us);
    }
    if (!result->n_received)
        result->min_us = 0;
    else
        result->average_us = (uint32_t)(sum_us / result->n_received);
    if (result->n_received > 1)
        result->jitter_us = (uint32_t)(changes_us / (result->n_received - 1));
}

static gboolean over(void *user)
{
    struct round_trips *trips = user;
    struct round_trips_result result;
    trips->timer = 0;
    g_clear_handle_id(&trips->source, g_source_remove);
    sum_up(trips, &result);
    trips->done(&result, trips->user);
    return G_SOURCE_REMOVE;
}

static gboolean on_time(void *user)
{
    struct round_trips *trips = user;
    trips->sent_ns[trips->n_sent] = now_ns();
    icmp_send(&trips->icmp, (uint16_t)trips->n_sent, MAX(PACKET_SIZE, trips->icmp.smallest));
    if (++trips->n_sent < trips->count)
        return G_SOURCE_CONTINUE;
    trips->timer = g_timeout_add(LAST_MS, over, trips);
    return G_SOURCE_REMOVE;
}

/* When the kernel had the packet; now, if it does not say. */
static int64_t arrival_ns(struct msghdr *message)
{
    for (struct cmsghdr *at = CMSG_FIRSTHDR(message); at; at = CMSG_NXTHDR(message, at)) {
        if (at->cmsg_level != SOL_SOCKET || at->cmsg_type != SCM_TIMESTAMPNS)
            continue;
        struct timespec stamp;
        memcpy(&stamp, CMSG_DATA(at), sizeof stamp);
        return in_ns(&stamp);
    }
    return now_ns();
}

/* False: there is nothing more. */
static bool take_one(struct round_trips *trips)
{
    uint8_t packet[256];
    char control[128];
    struct iovec vector = {packet, sizeof packet};
    struct msghdr message = {
        .msg_iov = &vector, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    ssize_t size = icmp_receive(&trips->icmp, &message);
    if (size < 0)
        return false;
    int number = icmp_number(&trips->icmp, packet, (size_t)size);
    if (number >= 0 && (uint32_t)number < trips->n_sent && !trips->taken_ns[number])
        trips->taken_ns[number] = MAX(arrival_ns(&message) - trips->sent_ns[number], 1);
    return true;
}

static gboolean on_packet(int fd, GIOCondition condition, void *user)
{
    struct round_trips *trips = user;
    uint32_t n_back = 0;
    (void)fd;
    (void)condition;
    for (unsigned i = 0; i < ROUND_TRIPS_MAX && take_one(trips); i++)
        ;
    for (uint32_t i = 0; i < trips->n_sent; i++)
        n_back += trips->taken_ns[i] != 0;
    if (n_back < trips->count || !trips->timer)
        return G_SOURCE_CONTINUE;
    trips->source = 0;
    (void)g_source_remove(trips->timer);
    trips->timer = g_idle_add(over, trips);
    return G_SOURCE_REMOVE;
}

struct round_trips *round_trips_begin(const struct sockaddr_storage *from, const struct sockaddr_storage *to,
                                      uint32_t count,
                                      void (*done)(const struct round_trips_result *result, void *user),
                                      void *user, struct err *err)
{
    struct round_trips *trips = g_new0(struct round_trips, 1);
    int on = 1;
    trips->count = CLAMP(count, 1, ROUND_TRIPS_MAX);
    trips->done = done;
    trips->user = user;
    if (icmp_open(from, to, &trips->icmp, err) < 0) {
        round_trips_free(trips);
        return NULL;
    }
    (void)setsockopt(trips->icmp.fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on);
    trips->source = g_unix_fd_add(trips->icmp.fd, G_IO_IN, on_packet, trips);
    trips->timer = g_timeout_add(EACH_MS, on_time, trips);
    return trips;
}

void round_trips_free(struct round_trips *trips)
{
    if (!trips)
        return;
    g_clear_handle_id(&trips->source, g_source_remove);
    g_clear_handle_id(&trips->timer, g_source_remove);
    icmp_close(&trips->icmp);
    g_free(trips);
}
