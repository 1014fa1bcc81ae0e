/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/steps.h"

#include "base/clock.h"

void steps_init(struct steps *steps)
{
    steps->phase = g_strdup("");
    steps->waits = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
}

void steps_clear(struct steps *steps)
{
    g_free(steps->phase);
    g_hash_table_unref(steps->waits);
}

bool steps_say(struct steps *steps, const char *phase, const char *waiting, uint64_t now_ns)
{
    bool is_news = g_strcmp0(phase, steps->phase) != 0;
    if (is_news) {
        g_free(steps->phase);
        steps->phase = g_strdup(phase);
        g_hash_table_remove_all(steps->waits);
    }
    if (!*waiting)
        return is_news;
    const uint64_t *said_ns = g_hash_table_lookup(steps->waits, waiting);
    if (said_ns && now_ns - *said_ns < STEPS_AGAIN_S * NS_PER_S)
        return false;
    (void)g_hash_table_replace(steps->waits, g_strdup(waiting), g_memdup2(&now_ns, sizeof now_ns));
    return true;
}
