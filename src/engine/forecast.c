/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/forecast.h"

#include "base/clock.h"
#include "engine/policy.h"

/* The last pages cross while QEMU saves its device state, which takes 5 to 10 ms: so much of them costs
 * nothing. */
#define HIDDEN_NS (5 * NS_PER_MS)

static uint64_t limit_to(uint64_t value, uint64_t limit)
{
    return value < limit ? value : limit;
}

/* Of three doublings of time the last two tell how the growth falls off: if by half, as much again is to come
 * as came last. A guest that writes at random in W bytes dirties W (1 - exp(-t/T)), of which this is a
 * cautious reading. */
static uint64_t grows_to(const struct forecast_facts *facts)
{
    if (facts->n_points < 2)
        return facts->ram_size;
    const struct forecast_point *last = &facts->points[facts->n_points - 1], *before = last - 1;
    uint64_t growth = last->dirty_bytes > before->dirty_bytes ? last->dirty_bytes - before->dirty_bytes : 0;
    if (!growth || !before->dirty_bytes)
        return last->dirty_bytes;
    if (growth >= before->dirty_bytes)
        return facts->ram_size; /* no end in sight */
    unsigned __int128 square = (unsigned __int128)before->dirty_bytes * before->dirty_bytes;
    return limit_to((uint64_t)(square / (before->dirty_bytes - growth)), facts->ram_size);
}

uint64_t forecast_dirty_bytes(const struct forecast_facts *facts, uint64_t after_ns)
{
    struct forecast_point low = {0, 0};
    for (unsigned i = 0; i < facts->n_points; i++) {
        struct forecast_point high = facts->points[i];
        if (after_ns <= high.after_ns) {
            uint64_t rise = high.dirty_bytes > low.dirty_bytes ? high.dirty_bytes - low.dirty_bytes : 0;
            return low.dirty_bytes + (uint64_t)((unsigned __int128)rise * (after_ns - low.after_ns) /
                                                (high.after_ns - low.after_ns));
        }
        if (high.dirty_bytes >= low.dirty_bytes)
            low = high;
    }
    if (!facts->n_points || !low.after_ns)
        return 0;
    unsigned __int128 linear = (unsigned __int128)low.dirty_bytes * after_ns / low.after_ns;
    uint64_t most = grows_to(facts);
    most = most > low.dirty_bytes ? most : low.dirty_bytes;
    return linear < most ? (uint64_t)linear : most;
}

static uint64_t time_of(uint64_t bytes, uint64_t bytes_s)
{
    if (!bytes)
        return 0;
    unsigned __int128 ns = (unsigned __int128)bytes * NS_PER_S / (bytes_s ? bytes_s : 1);
    return ns > INT64_MAX ? INT64_MAX : (uint64_t)ns;
}

static uint64_t dirty_after(const struct forecast_facts *facts, uint64_t held_to_bytes_s, uint64_t ns)
{
    uint64_t dirty = forecast_dirty_bytes(facts, ns);
    if (!held_to_bytes_s)
        return dirty;
    unsigned __int128 allowed = (unsigned __int128)held_to_bytes_s * ns / NS_PER_S;
    return allowed < dirty ? (uint64_t)allowed : dirty;
}

void forecast_play(const struct forecast_facts *facts, struct forecast *ret)
{
    struct policy policy;
    struct policy_round round = {.content_bytes =
                                     facts->used_bytes - limit_to(facts->zero_bytes, facts->used_bytes),
                                 .collect_ns = facts->scan_ns};
    uint64_t held_to_bytes_s = 0;
    *ret = (struct forecast){.duration_ns = facts->begin_ns,
                             .dirty_bytes_s = forecast_dirty_bytes(facts, NS_PER_S / 10) * 10,
                             .working_set_bytes = grows_to(facts)};
    policy_init(&policy, facts->goal_ns, facts->fixed_ns, facts->max_rounds);
    round.duration_ns = time_of(facts->used_bytes, facts->first_bytes_s) + facts->sync_ns;
    for (;;) {
        uint64_t round_ns = round.duration_ns + facts->scan_ns;
        round.dirty_bytes = dirty_after(facts, held_to_bytes_s, round_ns);
        ret->duration_ns += round_ns;
        ret->n_rounds++;
        enum policy_answer answer = policy_decide(&policy, &round);
        if (answer == POLICY_GIVE_UP)
            return;
        if (answer == POLICY_STOP)
            break;
        held_to_bytes_s = answer == POLICY_THROTTLE ? policy.throttle_bytes_s : 0;
        ret->needs_sdps = ret->needs_sdps || answer == POLICY_THROTTLE;
        round.content_bytes = round.dirty_bytes;
        round.duration_ns = time_of(round.dirty_bytes, facts->again_bytes_s) + facts->sync_ns;
    }
    ret->converges = true;
    ret->n_rounds++;
    uint64_t rest_ns = time_of(round.dirty_bytes, facts->again_bytes_s);
    ret->downtime_ns = facts->switch_ns + (rest_ns > HIDDEN_NS ? rest_ns - HIDDEN_NS : 0) + facts->sync_ns;
    ret->duration_ns += ret->downtime_ns;
}
