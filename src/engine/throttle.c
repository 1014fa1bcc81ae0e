/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/throttle.h"

#include "base/clock.h"
#include "engine/engine.h"

void throttle_init(struct throttle *throttle, unsigned limit_percent, unsigned n_writers)
{
    *throttle = (struct throttle){
        .n_writers = n_writers ? n_writers : 1, .wait_max_ns = THROTTLE_WAIT_NS, .window_max_ns = UINT64_MAX};
    if (limit_percent && limit_percent < 100)
        throttle->window_max_ns = THROTTLE_WINDOW_NS / 100 * limit_percent * throttle->n_writers;
}

void throttle_set_rate(struct throttle *throttle, uint64_t bytes_s)
{
    throttle->page_ns = bytes_s ? ENGINE_PAGE_SIZE * NS_PER_S / bytes_s : 0;
    if (bytes_s && !throttle->page_ns)
        throttle->page_ns = 1;
    throttle->slice_ns = throttle->page_ns * THROTTLE_SLICE_PAGES * throttle->n_writers;
    if (throttle->slice_ns < THROTTLE_SLICE_MIN_NS)
        throttle->slice_ns = THROTTLE_SLICE_MIN_NS;
    if (throttle->slice_ns > THROTTLE_SLICE_MAX_NS)
        throttle->slice_ns = THROTTLE_SLICE_MAX_NS;
}

/* Takes one share; returns where it begins. */
static uint64_t take_share(struct throttle *throttle, uint64_t now_ns)
{
    uint64_t earliest = now_ns > throttle->slice_ns ? now_ns - throttle->slice_ns : 0;
    if (throttle->next_ns < earliest)
        throttle->next_ns = earliest;
    uint64_t begin = throttle->next_ns;
    throttle->next_ns += throttle->page_ns;
    return begin;
}

/* The writer goes on at `release_ns`, and may write again at once. A debt that its next wait cannot pay off
 * would only be held against later writers. */
static void limit_debt(struct throttle *throttle, uint64_t release_ns)
{
    if (throttle->next_ns > release_ns + throttle->wait_max_ns)
        throttle->next_ns = release_ns + throttle->wait_max_ns;
}

/* True if the limit leaves room for this wait; then it is used. */
static bool use_window(struct throttle *throttle, uint64_t now_ns, uint64_t wait_ns)
{
    if (now_ns - throttle->window_begin_ns >= THROTTLE_WINDOW_NS) {
        throttle->window_begin_ns = now_ns;
        throttle->window_used_ns = 0;
    }
    if (throttle->window_max_ns - throttle->window_used_ns < wait_ns)
        return false;
    throttle->window_used_ns += wait_ns;
    return true;
}

uint64_t throttle_reserve(struct throttle *throttle, uint64_t now_ns)
{
    if (!throttle->page_ns)
        return now_ns;
    uint64_t begin = take_share(throttle, now_ns);
    bool is_shared = throttle->page_ns < throttle->slice_ns; /* by several pages: one timer for all */
    uint64_t deadline = is_shared ? begin - begin % throttle->slice_ns : begin;
    if (deadline > now_ns + throttle->wait_max_ns)
        deadline = now_ns + throttle->wait_max_ns;
    limit_debt(throttle, deadline > now_ns ? deadline : now_ns);
    if (deadline <= now_ns)
        return now_ns;
    if (use_window(throttle, now_ns, deadline - now_ns))
        return deadline;
    throttle->next_ns = now_ns; /* what the limit forgave */
    return now_ns;
}

void throttle_charge(struct throttle *throttle, uint64_t now_ns)
{
    if (!throttle->page_ns)
        return;
    (void)take_share(throttle, now_ns);
    limit_debt(throttle, now_ns);
}

static struct throttle_waiter *slot(struct throttle *throttle, uint32_t number)
{
    return &throttle->waiters[(throttle->first + number) % THROTTLE_WAITERS_MAX];
}

bool throttle_push(struct throttle *throttle, const struct throttle_waiter *waiter)
{
    if (throttle->n_waiters == THROTTLE_WAITERS_MAX)
        return false;
    *slot(throttle, throttle->n_waiters++) = *waiter;
    /* A limit that became shorter, or was reached, lets later ones go first. */
    for (uint32_t i = throttle->n_waiters - 1; i > 0; i--) {
        struct throttle_waiter *before = slot(throttle, i - 1), *at = slot(throttle, i), kept = *before;
        if (before->deadline_ns <= at->deadline_ns)
            break;
        *before = *at;
        *at = kept;
    }
    return true;
}

const struct throttle_waiter *throttle_first(const struct throttle *throttle)
{
    return throttle->n_waiters ? &throttle->waiters[throttle->first] : NULL;
}

bool throttle_take(struct throttle *throttle, uint64_t page, struct throttle_waiter *ret_waiter)
{
    uint32_t at = 0;
    while (at < throttle->n_waiters && slot(throttle, at)->page != page)
        at++;
    if (at == throttle->n_waiters)
        return false;
    *ret_waiter = *slot(throttle, at);
    /* Mostly it is the first one. */
    for (; at > 0; at--)
        *slot(throttle, at) = *slot(throttle, at - 1);
    throttle->first = (throttle->first + 1) % THROTTLE_WAITERS_MAX;
    throttle->n_waiters--;
    return true;
}
