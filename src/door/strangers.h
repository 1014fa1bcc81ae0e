/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who knocked and was not let in: counts them, and says so in the log at most once a minute for each source.
 * Single thread.
 */
#ifndef DOOR_STRANGERS_H
#define DOOR_STRANGERS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

/* Where a connection comes from: an IPv4 address, or the upper 64 bits of an IPv6 address (a host may have
 * all of the lower ones). */
struct source_address {
    uint8_t bytes[8];
    bool is_v4;
};

#define STRANGERS_KNOWN_MAX 128

struct strangers {
    uint64_t count; /* all that were turned away */
    uint64_t lines_minute_start_ns;
    unsigned lines_this_minute;
    struct stranger {
        struct source_address from;
        uint64_t logged_ns; /* 0: free */
        uint64_t since;     /* turned away since that line */
    } known[STRANGERS_KNOWN_MAX];
};

struct source_address source_address_of(const struct sockaddr_storage *peer);
bool source_address_equal(const struct source_address *a, const struct source_address *b);
/* Counts one and logs it if its source was quiet for a minute. `why` reads after "closed a connection: ". */
void strangers_add(struct strangers *strangers, const struct source_address *from, uint64_t now_ns,
                   const char *why);

#endif
