/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AGENT_FACTS_H
#define AGENT_FACTS_H

#include "agent/agent.h"

/* Finds out what does not change while the agent runs (kernel, QEMU, KVM, dirty source) into agent->facts and
 * agent->qemu; `done` from the main loop. Problems are facts too. */
void facts_probe(struct agent *agent, void (*done)(struct agent *agent));
/* agent->facts with what changes (memory, VMs, clock) as of now. */
void facts_now(struct agent *agent, struct host_facts *ret_facts);

#endif
