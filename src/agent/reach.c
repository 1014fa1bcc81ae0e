/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/reach.h"

#include <errno.h>
#include <glib-unix.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent/neighbours.h"
#include "agent/network.h"
#include "agent/ping.h"
#include "agent/round_trips.h"
#include "base/address.h"
#include "base/log.h"
#include "model/check_table.h"

#define CONNECT_MS 3000

struct pair {
    struct reach *reach;
    const char *from, *to;
    int fd;
    guint source, timer;
    int connect_errno; /* 0: it stands; ETIMEDOUT: nothing was heard */
    struct ping *ping;
    struct ping_result path;
    struct round_trips *trips;
    struct round_trips_result times;
    struct neighbours *neighbours;
    struct neighbours_result owners;
};

struct reach {
    struct reach_wish wish;
    unsigned n_open; /* connects and questions under way, plus one while they are begun */
    struct pair pairs[HOST_ADDRESSES_MAX];
    void (*done)(const struct findings *findings, const struct reach_report *report, void *user);
    void *user;
};

/* ---- what was found ---- */

static bool is_cut_down(const struct pair *pair)
{
    return pair->path.answers && pair->path.path_mtu < pair->path.mtu;
}

static void say_unreachable(const struct pair *pair, struct err *err)
{
    const struct reach_wish *wish = &pair->reach->wish;
    char silence[80];
    const char *reason = g_strerror(pair->connect_errno);
    (void)snprintf(silence, sizeof silence, "nothing was heard from it within %u s", CONNECT_MS / 1000);
    if (pair->connect_errno == ETIMEDOUT)
        reason = pair->path.answers ? "it answers a ping, but no connection: something on the way drops them"
                                    : silence;
    (void)check_say(err,
                    pair->connect_errno == ECONNREFUSED    ? CHECK_PORT_REFUSED
                    : pair->connect_errno == EADDRNOTAVAIL ? CHECK_PORT_WITHOUT_SOURCE
                                                           : CHECK_PORT_UNREACHABLE,
                    CHECK_ARGS({"host", wish->host}, {"peer", wish->peer}, {"from", pair->from},
                               {"to", pair->to}, {"port", .number = wish->port}, {"reason", reason}));
}

static void say_cut_down(const struct pair *pair, struct err *err)
{
    const struct reach_wish *wish = &pair->reach->wish;
    const struct ping_result *path = &pair->path;
    (void)check_say(err, path->is_told ? CHECK_PATH_MTU : CHECK_PATH_MTU_UNTOLD,
                    CHECK_ARGS({"host", wish->host}, {"peer", wish->peer}, {"from", pair->from},
                               {"to", pair->to}, {"mtu", .number = path->mtu},
                               {"path_mtu", .number = path->path_mtu}));
}

static void say_duplicate(const struct pair *pair, struct err *err)
{
    const struct reach_wish *wish = &pair->reach->wish;
    const struct neighbours_result *owners = &pair->owners;
    (void)check_say(err, CHECK_ADDRESS_DUPLICATE,
                    CHECK_ARGS({"host", wish->host}, {"peer", wish->peer}, {"from", pair->from},
                               {"to", pair->to}, {"mac", owners->macs[0]}, {"other_mac", owners->macs[1]}));
}

static void report_pair(const struct pair *pair, struct reach_pair *ret_pair)
{
    *ret_pair = (struct reach_pair){.connects = !pair->connect_errno,
                                    .mtu = pair->path.mtu,
                                    .path_mtu = pair->path.path_mtu,
                                    .n_sent = pair->times.n_sent,
                                    .n_received = pair->times.n_received,
                                    .min_us = pair->times.min_us,
                                    .average_us = pair->times.average_us,
                                    .max_us = pair->times.max_us,
                                    .jitter_us = pair->times.jitter_us,
                                    .n_macs = pair->owners.n_macs};
    (void)g_strlcpy(ret_pair->from, pair->from, sizeof ret_pair->from);
    (void)g_strlcpy(ret_pair->to, pair->to, sizeof ret_pair->to);
    memcpy(ret_pair->macs, pair->owners.macs, sizeof ret_pair->macs);
}

static void pair_clear(struct pair *pair)
{
    g_clear_handle_id(&pair->source, g_source_remove);
    g_clear_handle_id(&pair->timer, g_source_remove);
    if (pair->fd >= 0)
        (void)close(pair->fd);
    pair->fd = -1;
}

static gboolean finish(void *user)
{
    struct reach *reach = user;
    g_autofree struct findings *findings = g_new0(struct findings, 1);
    struct reach_report report = {.n_pairs = reach->wish.n_from};
    bool is_any_good = false;
    for (uint32_t i = 0; i < reach->wish.n_from; i++)
        is_any_good |= !reach->pairs[i].connect_errno;
    enum finding_severity severity = is_any_good ? FINDING_WARNING : FINDING_ERROR;
    for (uint32_t i = 0; i < reach->wish.n_from; i++) {
        struct pair *pair = &reach->pairs[i];
        if (pair->connect_errno)
            say_unreachable(pair, findings_add(findings, severity));
        if (is_cut_down(pair))
            say_cut_down(pair, findings_add(findings, FINDING_WARNING));
        if (pair->owners.n_macs > 1)
            say_duplicate(pair, findings_add(findings, FINDING_ERROR));
        report_pair(pair, &report.pairs[i]);
        ping_free(pair->ping);
        round_trips_free(pair->trips);
        neighbours_free(pair->neighbours);
    }
    reach->done(findings, &report, reach->user);
    g_free(reach);
    return G_SOURCE_REMOVE;
}

static void one_less(struct reach *reach)
{
    if (--reach->n_open == 0)
        (void)g_idle_add(finish, reach); /* not from inside those who have just ended */
}

/* ---- connection ---- */

static void connect_over(struct pair *pair, int errnum)
{
    pair->connect_errno = errnum;
    pair_clear(pair);
    one_less(pair->reach);
}

static gboolean on_connected(int fd, GIOCondition condition, void *user)
{
    struct pair *pair = user;
    int errnum = 0;
    socklen_t size = sizeof errnum;
    (void)condition;
    pair->source = 0;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &errnum, &size) < 0)
        errnum = errno;
    connect_over(pair, errnum);
    return G_SOURCE_REMOVE;
}

static gboolean on_late(void *user)
{
    struct pair *pair = user;
    pair->timer = 0;
    connect_over(pair, ETIMEDOUT);
    return G_SOURCE_REMOVE;
}

static int begin_connect(struct pair *pair, const struct sockaddr_storage *from,
                         const struct sockaddr_storage *to, socklen_t size)
{
    pair->fd = socket(to->ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (pair->fd < 0 || bind(pair->fd, (const struct sockaddr *)from, size) < 0 ||
        (connect(pair->fd, (const struct sockaddr *)to, size) < 0 && errno != EINPROGRESS))
        return errno;
    pair->source = g_unix_fd_add(pair->fd, G_IO_OUT, on_connected, pair);
    pair->timer = g_timeout_add(CONNECT_MS, on_late, pair);
    return 0;
}

/* ---- packets ---- */

static void on_pinged(const struct ping_result *result, void *user)
{
    struct pair *pair = user;
    pair->path = *result;
    one_less(pair->reach);
}

/* Without it the connection alone is judged. */
static void begin_ping(struct pair *pair, const struct sockaddr_storage *from,
                       const struct sockaddr_storage *to)
{
    struct err err;
    uint32_t mtu = network_mtu(pair->from);
    if (!mtu)
        return;
    if (pair->reach->wish.peer_mtu && pair->reach->wish.peer_mtu < mtu)
        mtu = pair->reach->wish.peer_mtu;
    pair->ping = ping_begin(from, to, mtu, on_pinged, pair, &err);
    if (pair->ping)
        pair->reach->n_open++;
    else
        log_error(&err, "the MTU of the way from %s to %s is not known", pair->from, pair->to);
}

/* ---- how good it is ---- */

static void on_round_trips(const struct round_trips_result *result, void *user)
{
    struct pair *pair = user;
    pair->times = *result;
    one_less(pair->reach);
}

static void on_owners(const struct neighbours_result *result, void *user)
{
    struct pair *pair = user;
    pair->owners = *result;
    one_less(pair->reach);
}

/* What cannot be measured is left out of the report. */
static void begin_measuring(struct pair *pair, const struct sockaddr_storage *from,
                            const struct sockaddr_storage *to)
{
    struct err err;
    pair->trips = round_trips_begin(from, to, pair->reach->wish.pings, on_round_trips, pair, &err);
    if (pair->trips)
        pair->reach->n_open++;
    else
        log_error(&err, "the way from %s to %s is not measured", pair->from, pair->to);
}

static void begin_asking(struct pair *pair)
{
    struct err err;
    char interface[16];
    if (!network_interface(pair->from, interface))
        return;
    pair->neighbours = neighbours_ask(interface, pair->to, pair->from, on_owners, pair, &err);
    if (pair->neighbours)
        pair->reach->n_open++;
    else
        log_error(&err, "who has %s is not known", pair->to);
}

void reach_check(const struct reach_wish *wish,
                 void (*done)(const struct findings *findings, const struct reach_report *report, void *user),
                 void *user)
{
    struct reach *reach = g_new0(struct reach, 1);
    *reach = (struct reach){.wish = *wish, .n_open = 1, .done = done, .user = user};
    for (uint32_t i = 0; i < wish->n_from; i++) {
        struct pair *pair = &reach->pairs[i];
        struct sockaddr_storage from, to;
        *pair = (struct pair){.reach = reach, .from = reach->wish.from[i], .to = reach->wish.to[i], .fd = -1};
        (void)address_parse(pair->from, 0, &from);
        socklen_t size = address_parse(pair->to, wish->port, &to);
        reach->n_open++;
        int errnum = begin_connect(pair, &from, &to, size);
        if (errnum)
            connect_over(pair, errnum);
        begin_ping(pair, &from, &to);
        begin_asking(pair);
        if (wish->pings)
            begin_measuring(pair, &from, &to);
    }
    one_less(reach);
}
