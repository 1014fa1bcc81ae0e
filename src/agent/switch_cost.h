/* SPDX-License-Identifier: Apache-2.0 */
/* What a switch-over from this host costs besides the last pages: the engine takes it off the downtime goal.
 * Remembered for each destination and accelerator, as long as the agent runs. Thread: main loop. */
#ifndef AGENT_SWITCH_COST_H
#define AGENT_SWITCH_COST_H

#include "agent/agent.h"
#include "ctl/ctl.h"
#include "model/move.h"

struct switch_cost {
    uint64_t besides_ns; /* what comes on top of memory and device state, which leave side by side */
    uint64_t save_ns;    /* from the stop until the device state was saved */
};

/* Of a destination that nothing was moved to yet, what hosts with one guest were measured to need. */
struct switch_cost switch_cost_expect(const struct agent *agent, const struct move_spec *spec);
/* A job of this source has succeeded. */
void switch_cost_learn(struct agent *agent, const struct move_spec *spec, const struct ctl_result *result);
/* Pure: what one switch-over cost; zero: it does not tell. */
struct switch_cost switch_cost_of(const struct ctl_result *result);

#endif
