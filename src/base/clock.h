/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stddef.h>
#include <stdint.h>

#define NS_PER_US 1000ull
#define NS_PER_MS 1000000ull
#define NS_PER_S 1000000000ull

/* CLOCK_MONOTONIC in ns: durations and deadlines. */
uint64_t clock_now_ns(void);
/* What `amount` in so many ns is in a second; 0 ns count as one. */
uint64_t clock_per_second(uint64_t amount, uint64_t duration_ns);
/* CLOCK_BOOTTIME in ns: as above, and it goes on while the host sleeps; comparable within one boot. */
uint64_t clock_boot_ns(void);
/* CLOCK_REALTIME in ms since 1970 UTC: what is shown and stored. Never before what it said before in this
 * process, unless the clock was really set (clock_in_order). Any thread. */
int64_t clock_wall_ms(void);
/* What a clock that said `last_ms` may say when it stands at `now_ms`: one that was put right by less than a
 * second, as time services do, stands still until it has caught up, so that what it stamps stays in order. */
int64_t clock_in_order(int64_t last_ms, int64_t now_ms);
#define CLOCK_TEXT_SIZE 32
/* RFC 3339 UTC with milliseconds, "2026-11-23T00:16:30.123Z". Returns `text`. */
char *clock_format(int64_t wall_ms, char text[CLOCK_TEXT_SIZE]);

#endif
