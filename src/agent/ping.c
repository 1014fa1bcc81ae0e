/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/ping.h"

#include <glib-unix.h>

#include "agent/icmp.h"

#define TRIES 3 /* of a small and of a full packet */
#define FIRST_MS 1000
/* Then sizes between the largest that came and the smallest that did not, many at once. */
#define FAN 12u
#define FAN_MS 400
#define FANS_MAX 6u
#define ECHOES_MAX (TRIES * 2 + FAN * FANS_MAX)

struct echo {
    uint32_t size;
    bool has_come;
};

struct ping {
    struct icmp_socket icmp;
    guint source, timer;
    unsigned n_fans;
    unsigned n_echoes; /* an echo's sequence number is its place */
    struct echo echoes[ECHOES_MAX];
    struct ping_result result;
    void (*done)(const struct ping_result *result, void *user);
    void *user;
};

static void send_echo(struct ping *ping, uint32_t size)
{
    icmp_send(&ping->icmp, (uint16_t)ping->n_echoes, size);
    ping->echoes[ping->n_echoes++] = (struct echo){.size = size};
}

static gboolean over(void *user)
{
    struct ping *ping = user;
    ping->timer = 0;
    g_clear_handle_id(&ping->source, g_source_remove);
    ping->result.is_told = ping->icmp.is_told;
    ping->done(&ping->result, ping->user);
    return G_SOURCE_REMOVE;
}

/* The smallest that was sent and did not come back, above all that did. */
static uint32_t smallest_lost(const struct ping *ping)
{
    uint32_t lost = ping->result.mtu + 1;
    for (unsigned i = 0; i < ping->n_echoes; i++)
        if (!ping->echoes[i].has_come && ping->echoes[i].size > ping->result.path_mtu &&
            ping->echoes[i].size < lost)
            lost = ping->echoes[i].size;
    return lost;
}

static gboolean on_time(void *user);

static void send_fan(struct ping *ping)
{
    uint32_t low = ping->result.path_mtu, lost = smallest_lost(ping);
    uint32_t step = (lost - low + FAN) / (FAN + 1);
    for (uint32_t size = low + step; size < lost && ping->n_echoes < ECHOES_MAX; size += step)
        send_echo(ping, size);
    ping->n_fans++;
    ping->timer = g_timeout_add(FAN_MS, on_time, ping);
}

static gboolean on_time(void *user)
{
    struct ping *ping = user;
    bool is_known = !ping->result.answers || smallest_lost(ping) <= ping->result.path_mtu + 1;
    ping->timer = 0;
    if (is_known || ping->n_fans == FANS_MAX)
        return over(ping);
    send_fan(ping);
    return G_SOURCE_REMOVE;
}

static void take(struct ping *ping, const uint8_t *bytes, size_t size)
{
    int number = icmp_number(&ping->icmp, bytes, size);
    if (number < 0 || (unsigned)number >= ping->n_echoes || ping->echoes[number].has_come)
        return;
    struct echo *echo = &ping->echoes[number];
    struct ping_result *result = &ping->result;
    echo->has_come = true;
    result->answers = true;
    if (echo->size > result->path_mtu)
        result->path_mtu = echo->size;
}

static gboolean on_packet(int fd, GIOCondition condition, void *user)
{
    static uint8_t packet[ICMP_PACKET_MAX];
    struct ping *ping = user;
    struct iovec vector = {packet, sizeof packet};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};
    ssize_t size = 0;
    (void)fd;
    (void)condition;
    for (unsigned i = 0; i < ECHOES_MAX && (size = icmp_receive(&ping->icmp, &message)) >= 0; i++)
        take(ping, packet, (size_t)size);
    if (ping->result.path_mtu < ping->result.mtu || !ping->timer)
        return G_SOURCE_CONTINUE;
    ping->source = 0; /* all is known */
    (void)g_source_remove(ping->timer);
    ping->timer = g_idle_add(over, ping);
    return G_SOURCE_REMOVE;
}

struct ping *ping_begin(const struct sockaddr_storage *from, const struct sockaddr_storage *to, uint32_t mtu,
                        void (*done)(const struct ping_result *result, void *user), void *user,
                        struct err *err)
{
    struct ping *ping = g_new0(struct ping, 1);
    ping->result.mtu = MIN(mtu, ICMP_PACKET_MAX);
    ping->done = done;
    ping->user = user;
    bool is_open = icmp_open(from, to, &ping->icmp, err) == 0;
    if (is_open && ping->result.mtu < ping->icmp.smallest) {
        (void)err_set(err, ERR_REFUSED, "ping-failed", "an MTU of %u is less than every path must pass", mtu);
        (void)err_arg(err, "mtu", "%u", mtu);
    }
    if (!is_open || ping->result.mtu < ping->icmp.smallest) {
        ping_free(ping);
        return NULL;
    }
    for (unsigned i = 0; i < TRIES; i++) {
        send_echo(ping, ping->icmp.smallest);
        send_echo(ping, ping->result.mtu);
    }
    ping->source = g_unix_fd_add(ping->icmp.fd, G_IO_IN, on_packet, ping);
    ping->timer = g_timeout_add(FIRST_MS, on_time, ping);
    return ping;
}

void ping_free(struct ping *ping)
{
    if (!ping)
        return;
    g_clear_handle_id(&ping->source, g_source_remove);
    g_clear_handle_id(&ping->timer, g_source_remove);
    icmp_close(&ping->icmp);
    g_free(ping);
}
