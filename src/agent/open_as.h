/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AGENT_OPEN_AS_H
#define AGENT_OPEN_AS_H

#include "agent/agent.h"

/* open(2) with the rights of `user` (and one supplementary group, 0: none), always close-on-exec; what it
 * makes is for that user only. -1 and errno. */
int open_as(const struct agent_user *user, gid_t group, const char *path, int flags);

#endif
