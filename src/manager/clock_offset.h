/* SPDX-License-Identifier: Apache-2.0 */
/* How far a host's clock is ahead of the manager's, learnt from calls that the host answers with its time.
 * Pure: no calls, no clock, no state of its own. */
#ifndef MANAGER_CLOCK_OFFSET_H
#define MANAGER_CLOCK_OFFSET_H

#include <stdbool.h>
#include <stdint.h>

struct clock_offset {
    bool is_known;
    int64_t offset_ms;   /* host's minus manager's, as measured by the best call */
    int64_t doubt_ms;    /* it may be wrong by so much: half of the call's duration, rounded up */
    int64_t measured_ms; /* manager's clock */
};

/* A call was sent and answered at these times of the manager's clock; the host's clock said host_ms in
 * between. A call that took longer than the best one says less, and is used only when that one is old or the
 * host's clock was set meanwhile. */
void clock_offset_take(struct clock_offset *offset, int64_t sent_ms, int64_t received_ms, int64_t host_ms);
/* What to subtract from the host's times: 0 when no difference can be told. */
int64_t clock_offset_ms(const struct clock_offset *offset);

#endif
