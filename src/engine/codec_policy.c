/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/codec_policy.h"

#include "base/clock.h"

/* What costs more CPU has to be this much better. */
#define WORTH_IT 1.1
/* Data of which more is left than this is as good as random: it says nothing about a codec. */
#define PACKABLE 0.9
/* A promise is kept if so much of it came. */
#define KEPT 0.9
/* A link that keeps workers waiting for less than this share of their time could take more. */
#define WAITING 0.1

void codec_policy_init(struct codec_policy *policy, unsigned n_workers, unsigned allowed)
{
    *policy = (struct codec_policy){.n_workers = n_workers, .next_sample = CODEC_LZ4, .now = CODEC_COUNT};
    for (enum codec codec = CODEC_RAW; codec < CODEC_COUNT; codec++) {
        policy->codecs[codec].is_allowed = allowed & 1u << codec;
        policy->codecs[codec].patience = CODEC_PATIENCE;
        if (policy->now == CODEC_COUNT && policy->codecs[codec].is_allowed)
            policy->now = codec;
    }
    if (policy->now == CODEC_COUNT)
        policy->now = CODEC_RAW;
}

void codec_policy_pause(struct codec_policy *policy)
{
    policy->window = (struct codec_window){0};
}

void codec_policy_learn(struct codec_policy *policy, enum codec codec, uint64_t raw_bytes,
                        uint64_t packed_bytes, uint64_t ns)
{
    struct codec_figures *figures = &policy->codecs[codec];
    double ratio = (double)packed_bytes / (double)raw_bytes;
    double bytes_s = (double)raw_bytes * (double)NS_PER_S / (double)(ns ? ns : 1);
    if (ratio > PACKABLE)
        return;
    figures->ratio = figures->ratio > 0 ? figures->ratio * 0.75 + ratio * 0.25 : ratio;
    figures->bytes_s = figures->bytes_s > 0 ? figures->bytes_s * 0.75 + bytes_s * 0.25 : bytes_s;
}

/* Pages' bytes a second that a codec promises. */
static double promise(const struct codec_policy *policy, enum codec codec)
{
    const struct codec_figures *figures = &policy->codecs[codec];
    const struct codec_window *window = &policy->window;
    bool is_raw = codec == CODEC_RAW;
    if (!is_raw && figures->ratio <= 0)
        return 0;
    double ns_per_byte = (double)window->busy_ns / (double)window->raw_bytes +
                         (is_raw ? 0 : (double)NS_PER_S / figures->bytes_s);
    double workers = (double)policy->n_workers * (double)NS_PER_S / (ns_per_byte > 0 ? ns_per_byte : 1e-9);
    double link = policy->link_bytes_s / (is_raw ? 1 : figures->ratio);
    return workers < link ? workers : link;
}

static enum codec best(const struct codec_policy *policy, double ret_figures[CODEC_COUNT])
{
    enum codec choice = policy->now;
    bool is_first = true;
    for (enum codec codec = CODEC_RAW; codec < CODEC_COUNT; codec++) {
        const struct codec_figures *figures = &policy->codecs[codec];
        if (!figures->is_allowed)
            continue;
        ret_figures[codec] =
            codec == policy->now || figures->n_valid ? figures->measured : promise(policy, codec);
        if (is_first || ret_figures[codec] > ret_figures[choice] * WORTH_IT)
            choice = codec;
        is_first = false;
    }
    return choice;
}

/* How the link and the codec in use did in the window. */
static void measure(struct codec_policy *policy, uint64_t duration_ns)
{
    const struct codec_window *window = &policy->window;
    struct codec_figures *figures = &policy->codecs[policy->now];
    double seconds = (double)duration_ns / (double)NS_PER_S;
    double wire_bytes_s = (double)window->wire_bytes / seconds;
    bool is_full = (double)window->wait_ns > WAITING * (double)(window->wait_ns + window->busy_ns);
    if (policy->now == CODEC_RAW || is_full || wire_bytes_s > policy->link_bytes_s)
        policy->link_bytes_s = wire_bytes_s;
    figures->measured = (double)window->raw_bytes / seconds;
}

static void change(struct codec_policy *policy, enum codec choice, double promised)
{
    struct codec_figures *left = &policy->codecs[policy->now];
    left->n_valid = CODEC_PATIENCE;
    if (policy->now != CODEC_RAW && left->measured < left->promised * KEPT) {
        left->n_valid = left->patience;
        left->patience = left->patience < CODEC_PATIENCE_MAX ? 2 * left->patience : CODEC_PATIENCE_MAX;
    }
    policy->codecs[choice].promised = promised;
    policy->now = choice;
    policy->is_settling = true;
}

static void decide(struct codec_policy *policy, uint64_t duration_ns)
{
    const struct codec_window *window = &policy->window;
    double figures[CODEC_COUNT] = {0};
    /* Mostly what no codec can pack: it shows the link and not the codec. */
    bool is_telling = policy->now == CODEC_RAW || window->packed_bytes * 2 > window->raw_bytes;
    if (policy->is_settling || !is_telling) {
        policy->is_settling = false;
        return;
    }
    measure(policy, duration_ns);
    enum codec choice = best(policy, figures);
    for (enum codec codec = CODEC_RAW; codec < CODEC_COUNT; codec++)
        policy->codecs[codec].n_valid -= policy->codecs[codec].n_valid > 0;
    if (choice != policy->now)
        change(policy, choice, figures[choice]);
}

void codec_policy_note(struct codec_policy *policy, const struct codec_batch *batch)
{
    struct codec_window *window = &policy->window;
    if (batch->codec != policy->now)
        return;
    /* The window begins with the end of a batch: what it took before is another window's. */
    if (!window->begin_ns) {
        window->begin_ns = batch->now_ns;
        return;
    }
    window->n_batches++;
    window->raw_bytes += batch->raw_bytes;
    window->packed_bytes += batch->packed_raw;
    window->wire_bytes += batch->wire_bytes;
    window->busy_ns += batch->busy_ns;
    window->wait_ns += batch->wait_ns;
    uint64_t duration_ns = batch->now_ns - window->begin_ns;
    bool is_enough = (window->n_batches >= CODEC_WINDOW_BATCHES && duration_ns >= CODEC_WINDOW_NS) ||
                     (window->n_batches >= CODEC_WINDOW_FEW && duration_ns >= CODEC_WINDOW_LONG_NS);
    if (!is_enough)
        return;
    decide(policy, duration_ns);
    *window = (struct codec_window){.begin_ns = batch->now_ns};
}

enum codec codec_policy_sample(struct codec_policy *policy)
{
    bool is_due = policy->n_unsampled == 0;
    if (policy->now != CODEC_RAW)
        return CODEC_RAW;
    policy->n_unsampled = is_due ? CODEC_SAMPLE_EVERY : policy->n_unsampled - 1;
    if (!is_due)
        return CODEC_RAW;
    enum codec codec = policy->next_sample;
    policy->next_sample = codec + 1 == CODEC_COUNT ? CODEC_LZ4 : codec + 1;
    /* The first round through all of them goes without a pause. */
    if (policy->codecs[codec].ratio <= 0 && policy->next_sample != CODEC_LZ4)
        policy->n_unsampled = 0;
    return policy->codecs[codec].is_allowed ? codec : CODEC_RAW;
}
