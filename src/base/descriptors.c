/* SPDX-License-Identifier: Apache-2.0 */
#include "base/descriptors.h"

#include <poll.h>
#include <sys/resource.h>

#define LOOK_AT 128

bool descriptors_are_left(void)
{
    struct rlimit limit;
    unsigned n_free = 0;
    if (getrlimit(RLIMIT_NOFILE, &limit))
        return true;
    for (rlim_t first = 0; first < limit.rlim_cur; first += LOOK_AT) {
        struct pollfd files[LOOK_AT];
        nfds_t n = limit.rlim_cur - first < LOOK_AT ? (nfds_t)(limit.rlim_cur - first) : LOOK_AT;
        for (nfds_t i = 0; i < n; i++)
            files[i] = (struct pollfd){.fd = (int)(first + i)};
        /* Says of each number whether it is one. Of more than the limit nobody may ask at once. */
        if (poll(files, n, 0) < 0)
            return false;
        for (nfds_t i = 0; i < n; i++)
            n_free += (files[i].revents & POLLNVAL) != 0;
        if (n_free > DESCRIPTORS_KEPT)
            return true;
    }
    return false;
}
