/* SPDX-License-Identifier: Apache-2.0 */
/* TCP connections of a move: made by the source, tuned by both sides. Thread: the story's. */
#ifndef JOB_CONNECT_H
#define JOB_CONNECT_H

#include "base/err.h"
#include "ctl/ctl.h"
#include "job/watch.h"

/* Which of the spec's addresses answered: data connections take the same way as the control connection. */
struct connect_route {
    unsigned destination;
    int source; /* -1: the kernel chooses */
};

/* Tries the destination's addresses in order, each from the source address of the same position if its family
 * fits, else from the first that does, 5 s each. Returns a connected, tuned, non-blocking socket in
 * *ret_fd. */
int connect_any(const struct ctl_job_spec *spec, const struct watch *watch, struct connect_route *ret_route,
                int *ret_fd, struct err *err);
int connect_route(const struct ctl_job_spec *spec, const struct connect_route *route,
                  const struct watch *watch, int *ret_fd, struct err *err);
/* TCP_NODELAY, and a dead peer shows within about 10 s. */
int connect_tune(int fd, struct err *err);

#endif
