/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/ping.h"

#include <errno.h>
#include <glib-unix.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <string.h>
#include <unistd.h>

#include "base/fdio.h"

#define IP_HEADER 20u
#define IPV6_HEADER 40u
#define IP_SMALLEST 68u     /* RFC 791: every path passes it */
#define IPV6_SMALLEST 1280u /* RFC 8200 */
#define PACKET_MAX 65535u

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
    int fd;
    guint source, timer;
    bool is_v6;
    uint16_t id;
    uint32_t smallest;
    unsigned n_fans;
    unsigned n_echoes; /* an echo's sequence number is its place */
    struct echo echoes[ECHOES_MAX];
    struct ping_result result;
    void (*done)(const struct ping_result *result, void *user);
    void *user;
};

static uint16_t checksum(const uint8_t *bytes, size_t size)
{
    uint32_t sum = 0;
    for (size_t i = 0; i + 1 < size; i += 2)
        sum += (uint32_t)bytes[i] << 8 | bytes[i + 1];
    if (size % 2)
        sum += (uint32_t)bytes[size - 1] << 8;
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return htons((uint16_t)~sum);
}

/* What cannot be sent does not come back: that is all that counts. */
static void send_echo(struct ping *ping, uint32_t size)
{
    static uint8_t packet[PACKET_MAX];
    size_t length = size - (ping->is_v6 ? IPV6_HEADER : IP_HEADER);
    struct icmphdr header = {.type = ping->is_v6 ? ICMP6_ECHO_REQUEST : ICMP_ECHO,
                             .un.echo = {htons(ping->id), htons((uint16_t)ping->n_echoes)}};
    struct echo *echo = &ping->echoes[ping->n_echoes++];
    memset(packet, 0, length);
    memcpy(packet, &header, sizeof header);
    if (!ping->is_v6) /* the kernel fills in that of IPv6 */
        header.checksum = checksum(packet, length);
    memcpy(packet, &header, sizeof header);
    *echo = (struct echo){.size = size};
    (void)send(ping->fd, packet, length, 0);
}

static gboolean over(void *user)
{
    struct ping *ping = user;
    ping->timer = 0;
    g_clear_handle_id(&ping->source, g_source_remove);
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
    struct icmphdr header;
    size_t skipped = ping->is_v6 || !size ? 0 : (bytes[0] & 15u) * 4u;
    if (size < skipped + sizeof header)
        return;
    memcpy(&header, bytes + skipped, sizeof header);
    unsigned number = ntohs(header.un.echo.sequence);
    if (header.type != (ping->is_v6 ? ICMP6_ECHO_REPLY : ICMP_ECHOREPLY) ||
        ntohs(header.un.echo.id) != ping->id || number >= ping->n_echoes || ping->echoes[number].has_come)
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
    static uint8_t packet[PACKET_MAX];
    struct ping *ping = user;
    (void)condition;
    /* An error here is what the path said of one packet. */
    for (unsigned i = 0; i < ECHOES_MAX; i++) {
        ssize_t size = recv(fd, packet, sizeof packet, MSG_DONTWAIT);
        if (size > 0)
            take(ping, packet, (size_t)size);
        else if (size < 0 && errno == EAGAIN)
            break;
        else if (size < 0 && errno == EMSGSIZE)
            ping->result.is_told = true;
    }
    if (ping->result.path_mtu < ping->result.mtu || !ping->timer)
        return G_SOURCE_CONTINUE;
    ping->source = 0; /* all is known */
    (void)g_source_remove(ping->timer);
    ping->timer = g_idle_add(over, ping);
    return G_SOURCE_REMOVE;
}

static int prepare_socket(struct ping *ping, const struct sockaddr_storage *from,
                          const struct sockaddr_storage *to)
{
    socklen_t size = ping->is_v6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
    struct icmp6_filter filter;
    /* PROBE: never in fragments, and whatever an earlier answer said of the path. */
    int discover = ping->is_v6 ? IPV6_PMTUDISC_PROBE : IP_PMTUDISC_PROBE;
    if (ping->is_v6) {
        ICMP6_FILTER_SETBLOCKALL(&filter);
        ICMP6_FILTER_SETPASS(ICMP6_ECHO_REPLY, &filter);
        if (setsockopt(ping->fd, IPPROTO_ICMPV6, ICMP6_FILTER, &filter, sizeof filter) < 0 ||
            setsockopt(ping->fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, &discover, sizeof discover) < 0)
            return -1;
    } else if (setsockopt(ping->fd, IPPROTO_IP, IP_MTU_DISCOVER, &discover, sizeof discover) < 0) {
        return -1;
    }
    return bind(ping->fd, (const struct sockaddr *)from, size) < 0 ||
                   connect(ping->fd, (const struct sockaddr *)to, size) < 0
               ? -1
               : 0;
}

struct ping *ping_begin(const struct sockaddr_storage *from, const struct sockaddr_storage *to, uint32_t mtu,
                        void (*done)(const struct ping_result *result, void *user), void *user,
                        struct err *err)
{
    struct ping *ping = g_new0(struct ping, 1);
    ping->is_v6 = to->ss_family == AF_INET6;
    ping->smallest = ping->is_v6 ? IPV6_SMALLEST : IP_SMALLEST;
    ping->result.mtu = MIN(mtu, PACKET_MAX);
    ping->done = done;
    ping->user = user;
    fdio_random(&ping->id, sizeof ping->id);
    ping->fd = socket(to->ss_family, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK,
                      ping->is_v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP);
    if (ping->fd < 0 || ping->result.mtu < ping->smallest || prepare_socket(ping, from, to) < 0) {
        (void)err_sys(err, errno, "ping-failed", "cannot ping the other host");
        ping_free(ping);
        return NULL;
    }
    for (unsigned i = 0; i < TRIES; i++) {
        send_echo(ping, ping->smallest);
        send_echo(ping, ping->result.mtu);
    }
    ping->source = g_unix_fd_add(ping->fd, G_IO_IN, on_packet, ping);
    ping->timer = g_timeout_add(FIRST_MS, on_time, ping);
    return ping;
}

void ping_free(struct ping *ping)
{
    if (!ping)
        return;
    g_clear_handle_id(&ping->source, g_source_remove);
    g_clear_handle_id(&ping->timer, g_source_remove);
    if (ping->fd >= 0)
        (void)close(ping->fd);
    g_free(ping);
}
