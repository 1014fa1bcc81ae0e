/* SPDX-License-Identifier: Apache-2.0 */
/*
 * VMs that start with their host. After a boot (state_dir/boot_id names another one, or an earlier attempt
 * was cut off before it had tried all) those with `autostart` that are off are started one after another, if
 * the journal says that this host owns them. Nothing is started when only the agent was restarted: what an
 * operator stopped, or what died, stays off. A host without the file has not run an agent yet: nothing
 * either.
 */
#ifndef AGENT_AUTOSTART_H
#define AGENT_AUTOSTART_H

#include "agent/agent.h"

typedef void (*autostart_done)(struct agent *agent, void *user);
/* After moves_recover. `done` (may be NULL) is called once, from here if there is nothing to start. */
void autostart_run(struct agent *agent, autostart_done done, void *user);
/* The same whatever boot it is: an operator takes a shutdown back. */
void autostart_all(struct agent *agent, autostart_done done, void *user);

#endif
