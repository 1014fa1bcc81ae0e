/* SPDX-License-Identifier: Apache-2.0 */
/* TCP connections of a move: made by the source, tuned by both sides. Thread: the story's. */
#ifndef JOB_CONNECT_H
#define JOB_CONNECT_H

#include "base/err.h"
#include "ctl/ctl.h"
#include "job/watch.h"

/* A pair of the spec's addresses. */
struct connect_route {
    unsigned destination;
    int source; /* -1: the kernel chooses */
};
/* The pairs that are not known to lead nowhere. */
struct connect_routes {
    unsigned n;
    uint32_t addresses_out; /* bit i: the destination's address i did not answer */
    struct connect_route all[CTL_ADDRESSES_MAX];
};

/* Each of the destination's addresses, from the source address of the same position if its family fits, else
 * from the first that does. */
void connect_find_routes(const struct ctl_job_spec *spec, struct connect_routes *ret_routes);
/* A connection over the route of that number (modulo their count), or over the next that answers, 5 s each;
 * those that do not are taken off the list. ERR_REFUSED
 * if the last of them says that nobody listens there. Returns a connected, tuned, non-blocking socket in
 * *ret_fd. */
int connect_over(const struct ctl_job_spec *spec, struct connect_routes *routes, unsigned number,
                 const struct watch *watch, int *ret_fd, struct err *err);
/* TCP_NODELAY, and a dead peer shows within about 5 s. */
int connect_tune(int fd, struct err *err);

#endif
