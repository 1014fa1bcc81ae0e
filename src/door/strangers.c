/* SPDX-License-Identifier: Apache-2.0 */
#include "door/strangers.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"

#define QUIET_NS (60 * NS_PER_S)
#define LINES_PER_MINUTE_MAX 60 /* over all sources */

struct source_address source_address_of(const struct sockaddr_storage *peer)
{
    struct source_address ret = {0};
    if (peer->ss_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)peer;
        ret.is_v4 = true;
        memcpy(ret.bytes, &v4->sin_addr, 4);
    } else if (peer->ss_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)peer;
        ret.is_v4 = IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr);
        memcpy(ret.bytes, v6->sin6_addr.s6_addr + (ret.is_v4 ? 12 : 0), ret.is_v4 ? 4 : 8);
    }
    return ret;
}

bool source_address_equal(const struct source_address *a, const struct source_address *b)
{
    return a->is_v4 == b->is_v4 && !memcmp(a->bytes, b->bytes, sizeof a->bytes);
}

static void format_source(const struct source_address *from, char text[INET6_ADDRSTRLEN + 4])
{
    uint8_t whole[16] = {0};
    memcpy(whole, from->bytes, sizeof from->bytes);
    char plain[INET6_ADDRSTRLEN] = "?";
    (void)inet_ntop(from->is_v4 ? AF_INET : AF_INET6, whole, plain, sizeof plain);
    (void)snprintf(text, INET6_ADDRSTRLEN + 4, "%s%s", plain, from->is_v4 ? "" : "/64");
}

/* The entry of this source; else the one that was quiet for longest, which forgets its source. */
static struct stranger *find_or_reuse(struct strangers *strangers, const struct source_address *from)
{
    struct stranger *oldest = &strangers->known[0];
    for (unsigned i = 0; i < STRANGERS_KNOWN_MAX; i++) {
        struct stranger *at = &strangers->known[i];
        if (at->logged_ns && source_address_equal(&at->from, from))
            return at;
        if (at->logged_ns < oldest->logged_ns)
            oldest = at;
    }
    *oldest = (struct stranger){.from = *from};
    return oldest;
}

void strangers_add(struct strangers *strangers, const struct source_address *from, uint64_t now_ns,
                   const char *why)
{
    struct stranger *stranger = find_or_reuse(strangers, from);
    strangers->count++;
    stranger->since++;
    if (stranger->logged_ns && now_ns - stranger->logged_ns < QUIET_NS)
        return;
    if (now_ns - strangers->lines_minute_start_ns >= QUIET_NS) {
        strangers->lines_minute_start_ns = now_ns;
        strangers->lines_this_minute = 0;
    }
    if (strangers->lines_this_minute >= LINES_PER_MINUTE_MAX)
        return;
    strangers->lines_this_minute++;
    char text[INET6_ADDRSTRLEN + 4];
    format_source(from, text);
    log_warn("closed a connection from %s: %s (%llu from there since the last such line)", text, why,
             (unsigned long long)stranger->since);
    stranger->logged_ns = now_ns;
    stranger->since = 0;
}
