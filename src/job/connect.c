/* SPDX-License-Identifier: Apache-2.0 */
#include "job/connect.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/pkt_sched.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "base/address.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"

#define CONNECT_PATIENCE_NS (5 * NS_PER_S)
#define DEAD_PEER_MS 5000
/* As the byte of the IP header: data that is to be delivered before others. */
#define DSCP_AF21 (18 << 2)

int connect_tune(int fd, struct err *err)
{
    static const struct {
        int level, name, value;
    } options[] = {{IPPROTO_TCP, TCP_NODELAY, 1},  {SOL_SOCKET, SO_KEEPALIVE, 1},
                   {IPPROTO_TCP, TCP_KEEPIDLE, 2}, {IPPROTO_TCP, TCP_KEEPINTVL, 1},
                   {IPPROTO_TCP, TCP_KEEPCNT, 3},  {IPPROTO_TCP, TCP_USER_TIMEOUT, DEAD_PEER_MS}};
    for (size_t i = 0; i < sizeof options / sizeof *options; i++)
        if (setsockopt(fd, options[i].level, options[i].name, &options[i].value, sizeof options[i].value) < 0)
            return err_sys(err, errno, "socket-option", "cannot set TCP option %d", options[i].name);
    return 0;
}

/* A move of high priority goes first where the way looks at it: the host's own queue by the packets'
 * priority, the network by their mark. Neither is needed for the move to work. */
static void mark_urgent(int fd, int family)
{
    const int class = DSCP_AF21, priority = TC_PRIO_INTERACTIVE;
    if (family == AF_INET)
        (void)setsockopt(fd, IPPROTO_IP, IP_TOS, &class, sizeof class);
    else
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_TCLASS, &class, sizeof class);
    (void)setsockopt(fd, SOL_SOCKET, SO_PRIORITY, &priority, sizeof priority); /* the mark has changed it */
}

static int bind_to(const struct ctl_job_spec *spec, int source, int fd, struct err *err)
{
    struct sockaddr_storage local;
    if (source < 0)
        return 0;
    socklen_t size = address_parse(spec->source_addresses[source], 0, &local);
    if (!size)
        return err_set(err, ERR_BAD_REQUEST, "source-address", "\"%s\" is no numeric address",
                       spec->source_addresses[source]);
    if (bind(fd, (struct sockaddr *)&local, size) < 0) {
        (void)err_sys(err, errno, "source-address", "cannot use the migration address %s",
                      spec->source_addresses[source]);
        return err_fix(err, "check that the address in [migration] is configured on this host");
    }
    return 0;
}

/* errnum 0: no answer at all. ERR_REFUSED: the host answers, and nobody listens there. */
static int cannot_connect(const struct ctl_job_spec *spec, const char *name, int errnum, struct err *err)
{
    enum err_code code = !errnum ? ERR_TIMEOUT : errnum == ECONNREFUSED ? ERR_REFUSED : ERR_PEER_LOST;
    (void)err_set(err, code, "connect-failed",
                  "the migration network does not lead to the destination: no connection to %s port %u", name,
                  spec->port);
    char text[128];
    (void)err_cause(err, "%s", errnum ? strerror_r(errnum, text, sizeof text) : "no answer within 5 s");
    return err_fix(err,
                   "check the link, the addresses in [migration] of both hosts, and that TCP port %u is open",
                   spec->port);
}

static int finish_connect(const struct ctl_job_spec *spec, const struct watch *watch, int fd,
                          const char *name, struct err *err)
{
    int failure = 0;
    socklen_t size = sizeof failure;
    const struct awaited connection = {"connect-failed", name};
    if (watch_wait(watch, fd, POLLOUT, clock_now_ns() + CONNECT_PATIENCE_NS, &connection, err) < 0) {
        if (err->code == ERR_TIMEOUT)
            (void)cannot_connect(spec, name, 0, err);
        return -1;
    }
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &failure, &size) < 0)
        failure = errno;
    return failure ? cannot_connect(spec, name, failure, err) : 0;
}

static int connect_route(const struct ctl_job_spec *spec, const struct connect_route *route,
                         const struct watch *watch, int *ret_fd, struct err *err)
{
    const char *name = spec->addresses[route->destination];
    struct sockaddr_storage remote;
    socklen_t size = address_parse(name, (uint16_t)spec->port, &remote);
    if (!size)
        return err_set(err, ERR_BAD_REQUEST, "destination-address", "\"%s\" is no numeric address", name);
    auto_fd fd = socket(remote.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return err_sys(err, errno, "socket-failed", "cannot make a socket");
    if (connect_tune(fd, err) < 0 || bind_to(spec, route->source, fd, err) < 0)
        return -1;
    if (spec->is_urgent)
        mark_urgent(fd, remote.ss_family);
    if (connect(fd, (struct sockaddr *)&remote, size) < 0 && errno != EINPROGRESS)
        return cannot_connect(spec, name, errno, err);
    if (finish_connect(spec, watch, fd, name, err) < 0)
        return -1;
    *ret_fd = steal_fd(&fd);
    return 0;
}

static int family_of(const char *text)
{
    return strchr(text, ':') ? AF_INET6 : AF_INET;
}

/* The source address for destination address i: -1 none is given, -2 none of its family is. */
static int source_for(const struct ctl_job_spec *spec, unsigned i)
{
    int family = family_of(spec->addresses[i]);
    if (!spec->n_source_addresses)
        return -1;
    if (i < spec->n_source_addresses && family_of(spec->source_addresses[i]) == family)
        return (int)i;
    for (unsigned k = 0; k < spec->n_source_addresses; k++)
        if (family_of(spec->source_addresses[k]) == family)
            return (int)k;
    return -2;
}

void connect_find_routes(const struct ctl_job_spec *spec, struct connect_routes *ret_routes)
{
    ret_routes->n = ret_routes->addresses_out = 0;
    for (unsigned i = 0; i < spec->n_addresses; i++) {
        struct connect_route route = {.destination = i, .source = source_for(spec, i)};
        if (route.source != -2)
            ret_routes->all[ret_routes->n++] = route;
    }
}

int connect_over(const struct ctl_job_spec *spec, struct connect_routes *routes, unsigned number,
                 const struct watch *watch, int *ret_fd, struct err *err)
{
    (void)err_set(err, ERR_BAD_REQUEST, "no-common-family",
                  "no migration address of the source fits one of the destination's");
    (void)err_fix(err, "give both hosts a migration address of the same family (IPv4 or IPv6)");
    while (routes->n) {
        unsigned at = number % routes->n;
        if (connect_route(spec, &routes->all[at], watch, ret_fd, err) == 0)
            return 0;
        log_error(err, "address %s is left out", spec->addresses[routes->all[at].destination]);
        if (cancel_requested(watch->stop))
            return -1;
        routes->addresses_out |= 1u << routes->all[at].destination;
        for (unsigned i = at + 1; i < routes->n; i++)
            routes->all[i - 1] = routes->all[i];
        routes->n--;
    }
    return -1;
}
