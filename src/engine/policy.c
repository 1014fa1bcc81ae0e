/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/policy.h"

#include "base/clock.h"

/* A round that sent less than this says more about latency than about the link. */
#define TRUSTED_BYTES (16ull << 20)

void policy_init(struct policy *policy, uint64_t goal_ns, uint64_t fixed_ns, uint32_t max_rounds)
{
    *policy = (struct policy){.goal_ns = goal_ns,
                              .fixed_ns = fixed_ns,
                              .max_rounds = max_rounds ? max_rounds : POLICY_MAX_ROUNDS,
                              .best_bytes = UINT64_MAX};
}

/* A small round only shifts the rate by its share. */
static void learn_of_small(struct policy *policy, const struct policy_round *round)
{
    if (!policy->shortest_ns || round->duration_ns < policy->shortest_ns)
        policy->shortest_ns = round->duration_ns;
    uint64_t sending_ns = round->duration_ns - policy->shortest_ns;
    if (sending_ns * 2 < round->duration_ns)
        return;
    uint64_t rate = clock_per_second(round->content_bytes, sending_ns);
    policy->rate_bytes_s =
        (uint64_t)(((unsigned __int128)rate * round->content_bytes +
                    (unsigned __int128)policy->rate_bytes_s * (TRUSTED_BYTES - round->content_bytes)) /
                   TRUSTED_BYTES);
}

static void learn_rate(struct policy *policy, const struct policy_round *round)
{
    if (policy->rate_bytes_s && round->content_bytes < TRUSTED_BYTES)
        learn_of_small(policy, round);
    else
        policy->rate_bytes_s = clock_per_second(round->content_bytes, round->duration_ns);
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

static uint64_t budget_ns(const struct policy *policy, const struct policy_round *round)
{
    uint64_t fixed_ns = policy->fixed_ns + round->collect_ns;
    uint64_t budget = policy->goal_ns > fixed_ns ? policy->goal_ns - fixed_ns : 0;
    return budget < policy->goal_ns / 10 ? policy->goal_ns / 10 : budget;
}

/* What is left adds little to what a switch-over costs in any case: better than no move at all. */
static bool is_bearable(const struct policy *policy, const struct policy_round *round)
{
    uint64_t fixed_ns = policy->fixed_ns + round->collect_ns;
    return fixed_ns > policy->goal_ns && policy_estimate_ns(policy, round->dirty_bytes) <= fixed_ns / 4;
}

static uint64_t percent(uint64_t part, uint64_t whole)
{
    return whole ? (uint64_t)((unsigned __int128)part * 100 / whole) : UINT64_MAX;
}

static void begin_throttling(struct policy *policy)
{
    policy->share = POLICY_SHARE;
    policy->n_calm = 0;
    if (policy->was_throttled)
        return;
    policy->was_throttled = true;
    policy->best_bytes = UINT64_MAX;
    policy->rounds_since = 0;
    policy->ns_since = 0;
}

/* Rounds that leave `ratio` per cent of their bytes each are a geometric series. */
static bool is_hopeless(const struct policy *policy, const struct policy_round *round, uint64_t ratio)
{
    if (ratio >= POLICY_HOPELESS)
        return true;
    return ratio >= POLICY_SLOW &&
           policy_estimate_ns(policy, round->dirty_bytes) > POLICY_PATIENCE_NS / 100 * (100 - ratio);
}

/* The rest does not fit: whether, and how hard, the guest is held up in the next round. */
static void set_share(struct policy *policy, const struct policy_round *round)
{
    uint64_t ratio = percent(round->dirty_bytes, round->content_bytes);
    if (!policy->rate_bytes_s)
        return; /* nothing but zero pages so far */
    if (!policy->share) {
        policy->n_hopeless = is_hopeless(policy, round, ratio) ? policy->n_hopeless + 1 : 0;
        bool is_far = round->content_bytes >= TRUSTED_BYTES &&
                      policy_estimate_ns(policy, round->dirty_bytes) / 4 > policy->goal_ns;
        if (policy->n_hopeless >= 2 || (policy->n_hopeless && is_far))
            begin_throttling(policy);
        return;
    }
    bool is_not_held = policy->share == POLICY_SHARE_MIN && ratio > POLICY_NOT_HELD;
    policy->n_not_held = is_not_held ? policy->n_not_held + 1 : 0;
    policy->not_held_ns = is_not_held ? policy->not_held_ns + round->duration_ns : 0;
    policy->n_calm = ratio < policy->share / 2 ? policy->n_calm + 1 : 0;
    if (policy->n_calm >= 2) {
        policy->share = 0;
        policy->n_hopeless = 0;
    } else if (ratio > POLICY_TOO_SOFT) {
        policy->share = policy->share / 2 > POLICY_SHARE_MIN ? policy->share / 2 : POLICY_SHARE_MIN;
    }
}

enum policy_answer policy_decide(struct policy *policy, const struct policy_round *round)
{
    learn_rate(policy, round);
    learn_progress(policy, round);
    policy->n_rounds++;
    uint64_t budget = budget_ns(policy, round);
    bool fits = policy_estimate_ns(policy, round->dirty_bytes) <= budget;
    if (fits && (!is_worth_a_round(policy, round) || policy->n_rounds >= policy->max_rounds))
        return POLICY_STOP;
    enum policy_answer last = is_bearable(policy, round) ? POLICY_STOP : POLICY_GIVE_UP;
    if (!fits && policy->n_rounds >= policy->max_rounds)
        return last;
    if (!fits && policy->rounds_since >= POLICY_PATIENCE_ROUNDS && policy->ns_since >= POLICY_PATIENCE_NS)
        return last;
    if (fits)
        policy->n_polished++;
    else
        set_share(policy, round);
    if (policy->n_not_held >= POLICY_PATIENCE_ROUNDS && policy->not_held_ns >= POLICY_PATIENCE_NS)
        return last;
    policy->throttle_bytes_s = (uint64_t)((unsigned __int128)policy->rate_bytes_s * policy->share / 100);
    return policy->throttle_bytes_s ? POLICY_THROTTLE : POLICY_CONTINUE;
}
