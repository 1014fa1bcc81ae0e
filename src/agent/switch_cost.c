/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/switch_cost.h"

#include <glib.h>

#include "base/clock.h"

/* Stop, load, two journals and `cont`, on hosts with two cores. */
#define UNKNOWN_NS (12 * NS_PER_MS)
/* A host that was busy once must not keep every later move from ending. */
#define LEARNT_MAX_NS (200 * NS_PER_MS)

static char *key_of(const struct move_spec *spec)
{
    return g_strdup_printf("%s %s", spec->destination, spec->accel);
}

uint64_t switch_cost_expect(const struct agent *agent, const struct move_spec *spec)
{
    g_autofree char *key = key_of(spec);
    const uint64_t *known_ns = agent->switch_costs ? g_hash_table_lookup(agent->switch_costs, key) : NULL;
    return known_ns ? *known_ns : UNKNOWN_NS;
}

/* From the stop until memory and device state had left, the one hides behind the other; checksums of all
 * memory are no part of a switch-over without them. */
uint64_t switch_cost_of(const struct ctl_result *result)
{
    uint64_t stopped_ns = result->marks_ns[CTL_MARK_STOPPED], saved_ns = result->marks_ns[CTL_MARK_SAVED];
    if (!result->ok || result->verified || !stopped_ns || saved_ns < stopped_ns ||
        result->downtime_ns <= saved_ns - stopped_ns)
        return 0;
    return MIN(result->downtime_ns - (saved_ns - stopped_ns), LEARNT_MAX_NS);
}

void switch_cost_learn(struct agent *agent, const struct move_spec *spec, const struct ctl_result *result)
{
    uint64_t cost_ns = switch_cost_of(result);
    if (!cost_ns)
        return;
    if (!agent->switch_costs)
        agent->switch_costs = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    char *key = key_of(spec);
    const uint64_t *known_ns = g_hash_table_lookup(agent->switch_costs, key);
    uint64_t *mean_ns = g_new(uint64_t, 1);
    *mean_ns = known_ns ? (*known_ns + cost_ns) / 2 : cost_ns;
    (void)g_hash_table_replace(agent->switch_costs, key, mean_ns);
}
