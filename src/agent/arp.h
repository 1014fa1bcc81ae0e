/* SPDX-License-Identifier: Apache-2.0 */
/* Who has an IPv4 address? Asked of everybody on an interface's network (ARP): more than one answer is an
 * address that two machines have. Main-loop thread. CAP_NET_RAW is needed. */
#ifndef AGENT_ARP_H
#define AGENT_ARP_H

#include "base/err.h"
#include "model/reach.h"

struct arp;

struct arp_result {
    unsigned n_macs; /* different ones that answered */
    char macs[REACH_MACS_MAX][REACH_MAC_SIZE];
};

/* `address`: numeric IPv4; of the machine itself, or of another on the same network. `from` is the address of
 * the machine that asks; NULL when it asks for its own: then no one's table changes (RFC 5227). `done` once,
 * from the main loop, after a second. NULL and *err if it cannot be asked: no Ethernet, no IPv4. */
struct arp *arp_ask(const char *interface, const char *address, const char *from,
                    void (*done)(const struct arp_result *result, void *user), void *user, struct err *err);
/* After `done`, or before: then it is not called. NULL ok. */
void arp_free(struct arp *arp);

#endif
