/* SPDX-License-Identifier: Apache-2.0 */
#include "manager/clock_offset.h"

#include <stdlib.h>

/* Quartz drifts by less than 5 ms in that time. */
#define OLD_MS 60000

void clock_offset_take(struct clock_offset *offset, int64_t sent_ms, int64_t received_ms, int64_t host_ms)
{
    int64_t duration_ms = received_ms > sent_ms ? received_ms - sent_ms : 0;
    /* All three are cut to milliseconds. */
    struct clock_offset found = {.is_known = true,
                                 .offset_ms = host_ms - (sent_ms + duration_ms / 2),
                                 .doubt_ms = duration_ms / 2 + 2,
                                 .measured_ms = received_ms};
    bool is_better = found.doubt_ms <= offset->doubt_ms;
    bool is_old = received_ms - offset->measured_ms > OLD_MS || received_ms < offset->measured_ms;
    bool was_set = llabs(found.offset_ms - offset->offset_ms) > found.doubt_ms + offset->doubt_ms;
    if (!offset->is_known || is_better || is_old || was_set)
        *offset = found;
}

int64_t clock_offset_ms(const struct clock_offset *offset)
{
    return llabs(offset->offset_ms) > offset->doubt_ms ? offset->offset_ms : 0;
}
