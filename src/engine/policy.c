/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/policy.h"

#include <stdbool.h>

#include "base/clock.h"

/* A round that sent less than this says more about latency than about the link: it only shifts the rate by
 * its share. */
#define TRUSTED_BYTES (16ull << 20)

void policy_init(struct policy *policy, uint64_t goal_ns, uint64_t fixed_ns, uint32_t max_rounds)
{
    *policy = (struct policy){.goal_ns = goal_ns,
                              .fixed_ns = fixed_ns,
                              .max_rounds = max_rounds ? max_rounds : POLICY_MAX_ROUNDS,
                              .best_bytes = UINT64_MAX};
}

static void learn_rate(struct policy *policy, const struct policy_round *round)
{
    uint64_t duration = round->duration_ns ? round->duration_ns : 1;
    uint64_t rate = (uint64_t)((unsigned __int128)round->sent_bytes * NS_PER_S / duration);
    uint64_t weight = round->sent_bytes < TRUSTED_BYTES ? round->sent_bytes : TRUSTED_BYTES;
    if (!policy->n_rounds)
        policy->rate_bytes_s = rate;
    else
        policy->rate_bytes_s =
            (uint64_t)(((unsigned __int128)rate * weight +
                        (unsigned __int128)policy->rate_bytes_s * (TRUSTED_BYTES - weight)) /
                       TRUSTED_BYTES);
}

static void learn_progress(struct policy *policy, const struct policy_round *round)
{
    if (round->dirty_bytes < policy->best_bytes - policy->best_bytes / 20) {
        policy->best_bytes = round->dirty_bytes;
        policy->rounds_since = 0;
        policy->ns_since = 0;
    } else {
        policy->rounds_since++;
        policy->ns_since += round->duration_ns;
    }
}

uint64_t policy_estimate_ns(const struct policy *policy, uint64_t bytes)
{
    if (!bytes)
        return 0;
    if (!policy->rate_bytes_s)
        return UINT64_MAX;
    unsigned __int128 ns = (unsigned __int128)bytes * NS_PER_S / policy->rate_bytes_s;
    return ns > UINT64_MAX ? UINT64_MAX : (uint64_t)ns;
}

/* The guest is expected to go on dirtying as in the round before. */
static bool is_worth_a_round(const struct policy *policy, const struct policy_round *round)
{
    uint64_t next_ns = policy_estimate_ns(policy, round->dirty_bytes);
    if (next_ns <= POLICY_MOMENT_NS || policy->n_polished >= POLICY_POLISH_ROUNDS || !round->duration_ns)
        return false;
    unsigned __int128 next_dirty = (unsigned __int128)round->dirty_bytes * next_ns / round->duration_ns;
    return next_dirty * 2 <= round->dirty_bytes;
}

enum policy_answer policy_decide(struct policy *policy, const struct policy_round *round)
{
    learn_rate(policy, round);
    learn_progress(policy, round);
    policy->n_rounds++;
    uint64_t budget = policy->goal_ns > policy->fixed_ns ? policy->goal_ns - policy->fixed_ns : 0;
    if (budget < policy->goal_ns / 10)
        budget = policy->goal_ns / 10;
    if (policy_estimate_ns(policy, round->dirty_bytes) <= budget) {
        if (!is_worth_a_round(policy, round) || policy->n_rounds >= policy->max_rounds)
            return POLICY_STOP;
        policy->n_polished++;
        return POLICY_CONTINUE;
    }
    if (policy->n_rounds >= policy->max_rounds)
        return POLICY_GIVE_UP;
    if (policy->rounds_since >= POLICY_PATIENCE_ROUNDS && policy->ns_since >= POLICY_PATIENCE_NS)
        return POLICY_GIVE_UP;
    return POLICY_CONTINUE;
}
