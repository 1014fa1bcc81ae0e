/* SPDX-License-Identifier: Apache-2.0 */
/*
 * VMs that start with their host. After a boot (state_dir/boot_id names another one, or an earlier attempt
 * was cut off before it had tried all) those with `autostart` that are off are started one after another, if
 * the journal says that this host owns them. Not before the manager's word: while the host was down the
 * operator may have given a VM to another host (manager: settlements), which the journal here cannot know.
 * Nothing is started when only the agent was restarted: what an operator stopped, or what died, stays off. A
 * host without the file has not run an agent yet: nothing either. Main-loop thread.
 */
#ifndef AGENT_AUTOSTART_H
#define AGENT_AUTOSTART_H

#include "agent/agent.h"

typedef void (*autostart_done)(struct agent *agent, void *user);
/* At the agent's start, after moves_recover: finds out whether a start is due. */
void autostart_prepare(struct agent *agent);
/* True if one is due and waits for the word. */
bool autostart_is_pending(const struct agent *agent);
/*
 * The word: of the manager, which has told this host all settlements, or of root on the host, who answers for
 * it. VMs in `except` (UUIDs, ends with NULL; or NULL) are left off. Nothing happens if none is due, or while
 * the host shuts down: then it stays due. `done` (may be NULL) is called once, when each was tried; a VM that
 * was given away and comes back (ABORTED, RETURNED) is started when it does, also after that, by this agent.
 */
void autostart_release(struct agent *agent, const char *const *except, autostart_done done, void *user);
/* Whatever boot it is: an operator takes a shutdown back. */
void autostart_all(struct agent *agent, autostart_done done, void *user);

#endif
