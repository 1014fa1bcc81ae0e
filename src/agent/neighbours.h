/* SPDX-License-Identifier: Apache-2.0 */
/* Who has an address? Asked of everybody on an interface's network, by ARP or by IPv6's neighbour discovery:
 * more than one answer is an address that two machines have. Main-loop thread. CAP_NET_RAW is needed. */
#ifndef AGENT_NEIGHBOURS_H
#define AGENT_NEIGHBOURS_H

#include "base/err.h"
#include "model/reach.h"

struct neighbours;

struct neighbours_result {
    unsigned n_macs; /* different ones that answered; never that of the interface if it asks for its own */
    char macs[REACH_MACS_MAX][REACH_MAC_SIZE];
};

/* `address`: numeric; of the machine itself, or of another on the same network. `from` is the address of the
 * machine that asks; NULL when it asks for its own: then no one's table changes (RFC 5227). `done` once, from
 * the main loop, after half a second. NULL and *err if it cannot be asked: no Ethernet. */
struct neighbours *neighbours_ask(const char *interface, const char *address, const char *from,
                                  void (*done)(const struct neighbours_result *result, void *user),
                                  void *user, struct err *err);
/* After `done`, or before: then it is not called. NULL ok. */
void neighbours_free(struct neighbours *neighbours);

#endif
