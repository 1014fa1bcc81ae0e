/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/loop_watch.h"

#include <glib.h>

#include "base/clock.h"

#define TICK_MS 500
#define MINUTE_NS (60 * NS_PER_S)

struct loop_watch {
    guint timer;
    uint64_t due_ns;
    uint64_t minute_ns; /* when this minute began */
    uint32_t late_ms;   /* in this minute */
    uint32_t before_ms; /* in the one before */
};

static gboolean on_tick(void *user)
{
    struct loop_watch *watch = user;
    uint64_t now_ns = clock_now_ns();
    uint64_t late_ns = now_ns > watch->due_ns ? now_ns - watch->due_ns : 0;
    watch->late_ms = MAX(watch->late_ms, (uint32_t)MIN(late_ns / NS_PER_MS, UINT32_MAX));
    watch->due_ns = now_ns + TICK_MS * NS_PER_MS;
    if (now_ns - watch->minute_ns < MINUTE_NS)
        return G_SOURCE_CONTINUE;
    watch->minute_ns = now_ns;
    watch->before_ms = watch->late_ms;
    watch->late_ms = 0;
    return G_SOURCE_CONTINUE;
}

struct loop_watch *loop_watch_start(void)
{
    struct loop_watch *watch = g_new0(struct loop_watch, 1);
    watch->minute_ns = clock_now_ns();
    watch->due_ns = watch->minute_ns + TICK_MS * NS_PER_MS;
    watch->timer = g_timeout_add(TICK_MS, on_tick, watch);
    return watch;
}

void loop_watch_free(struct loop_watch *watch)
{
    if (!watch)
        return;
    (void)g_source_remove(watch->timer);
    g_free(watch);
}

uint32_t loop_watch_late_ms(const struct loop_watch *watch)
{
    return MAX(watch->late_ms, watch->before_ms);
}
