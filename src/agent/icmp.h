/* SPDX-License-Identifier: Apache-2.0 */
/* ICMP echo in packets that are never cut up, over a raw socket between two addresses. CAP_NET_RAW is needed.
 * One thread at a time. */
#ifndef AGENT_ICMP_H
#define AGENT_ICMP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/err.h"

#define ICMP_PACKET_MAX 65535u

struct icmp_socket {
    int fd; /* non-blocking; readable when an answer is there */
    bool is_v6;
    uint16_t id;
    uint32_t smallest; /* packet that every path passes */
    bool is_told;      /* a router said of a packet that it was too large */
};

/* icmp_close afterwards, also after a failure. */
int icmp_open(const struct sockaddr_storage *from, const struct sockaddr_storage *to,
              struct icmp_socket *ret_icmp, struct err *err);
void icmp_close(struct icmp_socket *icmp);
/* A packet of so many bytes, header of IP included, `smallest` at least. What cannot be sent does not come
 * back: that is all that counts. */
void icmp_send(struct icmp_socket *icmp, uint16_t number, uint32_t size);
/* As recvmsg, without waiting; 0: the path said something of one packet, and there may be more. */
ssize_t icmp_receive(struct icmp_socket *icmp, struct msghdr *message);
/* The number of the echo that came back in these bytes, as they were received; -1: it is none of ours. */
int icmp_number(const struct icmp_socket *icmp, const uint8_t *bytes, size_t size);

#endif
