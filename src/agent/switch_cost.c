/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/switch_cost.h"

#include <glib.h>

#include "base/clock.h"

/* Stop, load, two journals and `cont`, on hosts with two cores. */
#define UNKNOWN_NS (12 * NS_PER_MS)
#define UNKNOWN_SAVE_NS (6 * NS_PER_MS)
/* A host that was busy once must not keep every later move from ending. */
#define LEARNT_MAX_NS (200 * NS_PER_MS)

static char *key_of(const struct move_spec *spec)
{
    return g_strdup_printf("%s %s", spec->destination, spec->accel);
}

struct switch_cost switch_cost_expect(const struct agent *agent, const struct move_spec *spec)
{
    g_autofree char *key = key_of(spec);
    const struct switch_cost *known =
        agent->switch_costs ? g_hash_table_lookup(agent->switch_costs, key) : NULL;
    return known ? *known : (struct switch_cost){UNKNOWN_NS, UNKNOWN_SAVE_NS};
}

/* Checksums of all memory are no part of a switch-over without them. */
struct switch_cost switch_cost_of(const struct ctl_result *result)
{
    uint64_t stopped_ns = result->marks_ns[CTL_MARK_STOPPED], saved_ns = result->marks_ns[CTL_MARK_SAVED];
    if (!result->ok || result->verified || !stopped_ns || saved_ns < stopped_ns ||
        result->downtime_ns <= saved_ns - stopped_ns)
        return (struct switch_cost){0};
    return (struct switch_cost){MIN(result->downtime_ns - (saved_ns - stopped_ns), LEARNT_MAX_NS),
                                MIN(saved_ns - stopped_ns, LEARNT_MAX_NS)};
}

void switch_cost_learn(struct agent *agent, const struct move_spec *spec, const struct ctl_result *result)
{
    struct switch_cost cost = switch_cost_of(result);
    if (!cost.besides_ns)
        return;
    if (!agent->switch_costs)
        agent->switch_costs = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    char *key = key_of(spec);
    const struct switch_cost *known = g_hash_table_lookup(agent->switch_costs, key);
    struct switch_cost *mean = g_new(struct switch_cost, 1);
    *mean = cost;
    if (known)
        *mean = (struct switch_cost){(known->besides_ns + cost.besides_ns) / 2,
                                     (known->save_ns + cost.save_ns) / 2};
    (void)g_hash_table_replace(agent->switch_costs, key, mean);
}
