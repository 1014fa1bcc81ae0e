/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ICMP echo with "don't fragment" from one of this host's addresses to another host's: whether packets of a
 * size pass, and if not, the largest that do. Main-loop thread. The agent's right to make raw
 * sockets (CAP_NET_RAW) is needed.
 */
#ifndef AGENT_PING_H
#define AGENT_PING_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/err.h"

struct ping;

struct ping_result {
    bool answers;      /* to small packets; false also if the peer answers no ping at all */
    uint32_t mtu;      /* that was tried */
    uint32_t path_mtu; /* the largest packet that came back, at most `mtu` */
    bool is_told;      /* a router said that one was too large: TCP hears that too, and makes them smaller */
};

/* `done` once, from the main loop, after 2 s at the latest if nothing comes back, 4 s if only small ones do.
 * NULL and *err if it cannot be tried. */
struct ping *ping_begin(const struct sockaddr_storage *from, const struct sockaddr_storage *to, uint32_t mtu,
                        void (*done)(const struct ping_result *result, void *user), void *user,
                        struct err *err);
/* After `done`, or before: then it is not called. NULL ok. */
void ping_free(struct ping *ping);

#endif
