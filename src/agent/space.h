/* SPDX-License-Identifier: Apache-2.0 */
/* Whether what a migration writes on this host besides memory can be written: journals, configurations, logs.
 * Main-loop thread. */
#ifndef AGENT_SPACE_H
#define AGENT_SPACE_H

#include "agent/agent.h"
#include "model/finding.h"

/* "state-read-only", "state-space-short"; warning "log-space-short". */
void space_find_problems(const struct agent *agent, struct findings *findings);

#endif
