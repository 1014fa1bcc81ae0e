/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <string.h>

#include "agent/neighbours_private.h"
#include "base/address.h"

#define HOPS 255      /* from the same network, or it is not heard (RFC 4861) */
#define OPTION_UNIT 8 /* sizes of options are in these */

static bool read_answer(const struct neighbours *neighbours, uint8_t ret_mac[ETH_ALEN])
{
    uint8_t bytes[512];
    struct nd_neighbor_advert answer;
    ssize_t size = recv(neighbours->fd, bytes, sizeof bytes, MSG_DONTWAIT);
    if (size < (ssize_t)sizeof answer)
        return false;
    memcpy(&answer, bytes, sizeof answer);
    if (answer.nd_na_type != ND_NEIGHBOR_ADVERT ||
        memcmp(&answer.nd_na_target, neighbours->address, sizeof answer.nd_na_target) != 0)
        return false;
    for (size_t at = sizeof answer; at + OPTION_UNIT <= (size_t)size && bytes[at + 1];
         at += bytes[at + 1] * (size_t)OPTION_UNIT) {
        if (bytes[at] != ND_OPT_TARGET_LINKADDR)
            continue;
        memcpy(ret_mac, bytes + at + 2, ETH_ALEN);
        return true;
    }
    return false;
}

static int prepare_socket(int fd, const struct neighbours *neighbours, const char *from)
{
    struct sockaddr_storage source;
    struct icmp6_filter filter;
    int hops = HOPS, loops = 0;
    ICMP6_FILTER_SETBLOCKALL(&filter);
    ICMP6_FILTER_SETPASS(ND_NEIGHBOR_ADVERT, &filter);
    if (setsockopt(fd, IPPROTO_ICMPV6, ICMP6_FILTER, &filter, sizeof filter) < 0 ||
        setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, &hops, sizeof hops) < 0 ||
        setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_LOOP, &loops, sizeof loops) < 0 ||
        setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_IF, &neighbours->interface,
                   sizeof neighbours->interface) < 0)
        return -1;
    if (!from)
        return 0; /* by the interface's own link-local address */
    socklen_t size = address_parse(from, 0, &source);
    return bind(fd, (const struct sockaddr *)&source, size);
}

int neighbours_open_ndp(struct neighbours *neighbours, const char *address, const char *from, struct err *err)
{
    struct sockaddr_in6 everybody = {.sin6_family = AF_INET6,
                                     .sin6_scope_id = (uint32_t)neighbours->interface};
    struct nd_neighbor_solicit question = {.nd_ns_type = ND_NEIGHBOR_SOLICIT};
    const uint8_t option[2] = {ND_OPT_SOURCE_LINKADDR, 1};
    if (inet_pton(AF_INET6, address, &question.nd_ns_target) != 1)
        return err_set(err, ERR_BAD_REQUEST, "neighbours-failed", "%s is no IPv6 address", address);
    neighbours->fd = socket(AF_INET6, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_ICMPV6);
    if (neighbours->fd < 0 || prepare_socket(neighbours->fd, neighbours, from) < 0)
        return err_sys(err, errno, "neighbours-failed", "cannot ask who has %s", address);
    /* The group of all addresses that end like this one. */
    (void)inet_pton(AF_INET6, "ff02::1:ff00:0", &everybody.sin6_addr);
    memcpy(&everybody.sin6_addr.s6_addr[13], &question.nd_ns_target.s6_addr[13], 3);
    memcpy(neighbours->address, &question.nd_ns_target, sizeof question.nd_ns_target);
    memcpy(&neighbours->everybody, &everybody, sizeof everybody);
    neighbours->everybody_size = sizeof everybody;
    memcpy(neighbours->question, &question, sizeof question);
    memcpy(neighbours->question + sizeof question, option, sizeof option);
    memcpy(neighbours->question + sizeof question + sizeof option, neighbours->own_mac, ETH_ALEN);
    neighbours->question_size = sizeof question + OPTION_UNIT;
    neighbours->read = read_answer;
    return 0;
}
