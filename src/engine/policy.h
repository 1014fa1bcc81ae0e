/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When to stop the guest, and when to hold it up: a pure function of what the rounds measured.
 *
 * - STOP when what is dirty now, at the rate of the latest rounds, is sent within the downtime goal less the
 *   cost of a switch-over. A goal below that cost cannot be met by anybody; then a tenth of the goal is left
 *   for memory, so that the guest is stopped with little dirty rather than never.
 * - But CONTINUE, a few times, while another round is expected to leave less than half of it and it takes
 *   more than a moment to send: rounds are cheap for the guest, a stop is not.
 * - GIVE_UP after max_rounds, or when the least that was ever dirty has not shrunk by a twentieth for
 *   POLICY_PATIENCE_ROUNDS rounds and POLICY_PATIENCE_NS: a guest that is busy for a moment is waited for.
 *   The count begins anew when the guest is held up for the first time. Also when the hardest hold does not
 *   hold: POLICY_PATIENCE_ROUNDS rounds and POLICY_PATIENCE_NS under it, each of which leaves nearly what it
 *   sent. No page waits longer than the throttle lets it (engine/throttle.h), so that a slow link may be
 *   slower than the slowest guest, which would be held up for minutes and get nothing for it.
 *   But STOP then, if the switch-over costs more than the goal in any case and what is left adds no more than
 *   a quarter to that: over a long way each round leaves what the guest writes while it is under way.
 * - THROTTLE while the guest dirties nearly as much as is sent, so that rounds do not become shorter, or so
 *   much that it would take longer than POLICY_PATIENCE_NS until they are short enough: one such round is
 *   enough if the rest is far from the goal and the round was no short one, which a busy host can delay as
 *   well; else two in a row. New dirty pages are then held to POLICY_SHARE of the rate, less if that turns
 *   out not to be enough. Twice in a row far below what it may, and the guest is let go.
 * - else CONTINUE.
 *
 * A small round is mostly there and back to the other host, over a long way far longer than the sending: it
 * tells something about the rate only by what it takes more than the shortest one.
 *
 * The rate is that of page contents, whatever became of them on the wire; zero pages cost nothing and count
 * for nothing.
 */
#ifndef ENGINE_POLICY_H
#define ENGINE_POLICY_H

#include <stdbool.h>
#include <stdint.h>

#define POLICY_PATIENCE_ROUNDS 8
#define POLICY_PATIENCE_NS 5000000000ull
#define POLICY_MAX_ROUNDS 100
/* What is sent in less than this is not worth another round. */
#define POLICY_MOMENT_NS 1000000ull
#define POLICY_POLISH_ROUNDS 4
/* Per cent. Dirty pages to pages sent, in a round that is hopeless; in one that is if it would take too long;
 * in a throttled one that did not help enough; in one that did not help at all. */
#define POLICY_HOPELESS 90
#define POLICY_SLOW 75
#define POLICY_TOO_SOFT 75
#define POLICY_NOT_HELD 95
/* Of the rate, per cent. The harder a guest is held, the shorter: one that writes at full speed has its
 * memory sent 1 / (1 - share) times, and loses that time, 1.67 times what one pass takes at 40, 1.25 times at
 * 20, 1.11 times at 10. But a page waits for 90 us at 40 on a link of 1 Gbit/s, 180 at 20, 350 at 10, and on
 * a slow link a single vCPU cannot be held so hard at all (throttle.h). */
#define POLICY_SHARE 20
#define POLICY_SHARE_MIN 5

enum policy_answer { POLICY_CONTINUE, POLICY_THROTTLE, POLICY_STOP, POLICY_GIVE_UP };

struct policy {
    uint64_t goal_ns;
    uint64_t fixed_ns;
    uint32_t max_rounds;

    /* what it has seen */
    uint32_t n_rounds;
    uint64_t rate_bytes_s; /* of the latest rounds, small ones smoothed */
    uint64_t shortest_ns;  /* of all small rounds: what a round takes that sends next to nothing */
    uint64_t best_bytes;   /* the least dirty after any round */
    uint32_t rounds_since; /* since best_bytes improved */
    uint64_t ns_since;
    uint32_t n_polished; /* rounds that were added although the rest would have fitted */
    uint32_t n_hopeless; /* rounds in a row */
    uint32_t n_calm;     /* throttled rounds in a row that did not need it */
    uint32_t n_not_held; /* rounds in a row that the hardest hold did not help */
    uint64_t not_held_ns;
    uint32_t share; /* per cent of the rate; 0: not throttled */
    bool was_throttled;

    /* with THROTTLE: what the guest may dirty until the next answer */
    uint64_t throttle_bytes_s;
};

struct policy_round {
    uint64_t content_bytes; /* of pages that were sent and not zero */
    uint64_t duration_ns;
    uint64_t dirty_bytes; /* after the scan at its end */
    uint64_t collect_ns;  /* what that scan took: the last one is done while the guest stands */
};

/* `fixed_ns`: what a switch-over costs that no round can measure. */
void policy_init(struct policy *policy, uint64_t goal_ns, uint64_t fixed_ns, uint32_t max_rounds);
/* After each round. */
enum policy_answer policy_decide(struct policy *policy, const struct policy_round *round);
/* How long `bytes` take at the measured rate. */
uint64_t policy_estimate_ns(const struct policy *policy, uint64_t bytes);

#endif
