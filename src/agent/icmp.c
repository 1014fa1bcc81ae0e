/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/icmp.h"

#include <errno.h>
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

/* IPv6 keeps it in a queue too, from which it must be taken. */
static void note_error(struct icmp_socket *icmp, int errnum)
{
    struct msghdr nothing = {0};
    icmp->is_told |= errnum == EMSGSIZE;
    if (icmp->is_v6)
        (void)recvmsg(icmp->fd, &nothing, MSG_ERRQUEUE | MSG_DONTWAIT);
}

ssize_t icmp_receive(struct icmp_socket *icmp, struct msghdr *message)
{
    ssize_t size = recvmsg(icmp->fd, message, MSG_DONTWAIT);
    if (size >= 0 || errno == EAGAIN)
        return size;
    note_error(icmp, errno);
    return 0;
}

void icmp_send(struct icmp_socket *icmp, uint16_t number, uint32_t size)
{
    static uint8_t packet[ICMP_PACKET_MAX];
    size_t length = size - (icmp->is_v6 ? IPV6_HEADER : IP_HEADER);
    struct icmphdr header = {.type = icmp->is_v6 ? ICMP6_ECHO_REQUEST : ICMP_ECHO,
                             .un.echo = {htons(icmp->id), htons(number)}};
    memset(packet, 0, length);
    memcpy(packet, &header, sizeof header);
    if (!icmp->is_v6) /* the kernel fills in that of IPv6 */
        header.checksum = checksum(packet, length);
    memcpy(packet, &header, sizeof header);
    if (send(icmp->fd, packet, length, 0) >= 0)
        return;
    /* Most likely it was told what the path says of an earlier packet, and this one was not sent. */
    note_error(icmp, errno);
    (void)send(icmp->fd, packet, length, 0);
}

int icmp_number(const struct icmp_socket *icmp, const uint8_t *bytes, size_t size)
{
    struct icmphdr header;
    size_t skipped = icmp->is_v6 || !size ? 0 : (bytes[0] & 15u) * 4u;
    if (size < skipped + sizeof header)
        return -1;
    memcpy(&header, bytes + skipped, sizeof header);
    if (header.type != (icmp->is_v6 ? ICMP6_ECHO_REPLY : ICMP_ECHOREPLY) ||
        ntohs(header.un.echo.id) != icmp->id)
        return -1;
    return ntohs(header.un.echo.sequence);
}

static int prepare_socket(struct icmp_socket *icmp, const struct sockaddr_storage *from,
                          const struct sockaddr_storage *to)
{
    socklen_t size = icmp->is_v6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
    struct icmp6_filter filter;
    /* PROBE: never in fragments, and whatever an earlier answer said of the path. */
    int discover = icmp->is_v6 ? IPV6_PMTUDISC_PROBE : IP_PMTUDISC_PROBE, on = 1;
    if (icmp->is_v6) {
        ICMP6_FILTER_SETBLOCKALL(&filter);
        ICMP6_FILTER_SETPASS(ICMP6_ECHO_REPLY, &filter);
        if (setsockopt(icmp->fd, IPPROTO_ICMPV6, ICMP6_FILTER, &filter, sizeof filter) < 0 ||
            setsockopt(icmp->fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, &discover, sizeof discover) < 0 ||
            /* Else a socket that does not care for the path's MTU is not told of it. */
            setsockopt(icmp->fd, IPPROTO_IPV6, IPV6_RECVERR, &on, sizeof on) < 0)
            return -1;
    } else if (setsockopt(icmp->fd, IPPROTO_IP, IP_MTU_DISCOVER, &discover, sizeof discover) < 0) {
        return -1;
    }
    return bind(icmp->fd, (const struct sockaddr *)from, size) < 0 ||
                   connect(icmp->fd, (const struct sockaddr *)to, size) < 0
               ? -1
               : 0;
}

int icmp_open(const struct sockaddr_storage *from, const struct sockaddr_storage *to,
              struct icmp_socket *ret_icmp, struct err *err)
{
    *ret_icmp = (struct icmp_socket){.is_v6 = to->ss_family == AF_INET6};
    ret_icmp->smallest = ret_icmp->is_v6 ? IPV6_SMALLEST : IP_SMALLEST;
    fdio_random(&ret_icmp->id, sizeof ret_icmp->id);
    ret_icmp->fd = socket(to->ss_family, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK,
                          ret_icmp->is_v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP);
    if (ret_icmp->fd < 0 || prepare_socket(ret_icmp, from, to) < 0)
        return err_sys(err, errno, "ping-failed", "cannot ping the other host");
    return 0;
}

void icmp_close(struct icmp_socket *icmp)
{
    if (icmp->fd >= 0)
        (void)close(icmp->fd);
    icmp->fd = -1;
}
