/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When to stop the guest: a pure function of what the rounds measured.
 *
 * - STOP when what is dirty now, at the rate of the latest rounds, is sent within the downtime goal less the
 *   fixed cost of a switch-over. A goal below that fixed cost cannot be met by anybody; then a tenth of the
 *   goal is left for memory, so that the guest is stopped with little dirty rather than never.
 * - But CONTINUE, a few times, while another round is expected to leave less than half of it and it takes
 * more than a moment to send: rounds are cheap for the guest, a stop is not.
 * - GIVE_UP after max_rounds, or when the least that was ever dirty has not shrunk by a twentieth for
 *   POLICY_PATIENCE_ROUNDS rounds and POLICY_PATIENCE_NS: a guest that is busy for a moment is waited for.
 * - else CONTINUE.
 */
#ifndef ENGINE_POLICY_H
#define ENGINE_POLICY_H

#include <stdint.h>

#define POLICY_PATIENCE_ROUNDS 8
#define POLICY_PATIENCE_NS 5000000000ull
#define POLICY_MAX_ROUNDS 100
/* What is sent in less than this is not worth another round. */
#define POLICY_MOMENT_NS 1000000ull
#define POLICY_POLISH_ROUNDS 4

enum policy_answer { POLICY_CONTINUE, POLICY_STOP, POLICY_GIVE_UP };

struct policy {
    uint64_t goal_ns;
    uint64_t fixed_ns;
    uint32_t max_rounds;

    /* what it has seen */
    uint32_t n_rounds;
    uint64_t rate_bytes_s; /* of the latest rounds, small ones smoothed */
    uint64_t best_bytes;   /* the least dirty after any round */
    uint32_t rounds_since; /* since best_bytes improved */
    uint64_t ns_since;
    uint32_t n_polished; /* rounds that were added although the rest would have fitted */
};

struct policy_round {
    uint64_t sent_bytes; /* on the wire */
    uint64_t duration_ns;
    uint64_t dirty_bytes; /* after the scan at its end */
};

void policy_init(struct policy *policy, uint64_t goal_ns, uint64_t fixed_ns, uint32_t max_rounds);
/* After each round. */
enum policy_answer policy_decide(struct policy *policy, const struct policy_round *round);
/* How long `bytes` take at the measured rate. */
uint64_t policy_estimate_ns(const struct policy *policy, uint64_t bytes);

#endif
