/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AGENT_OPEN_AS_H
#define AGENT_OPEN_AS_H

#include "agent/agent.h"

/* open(2) with the rights of `user` (and one supplementary group, 0: none), always close-on-exec. -1 and
 * errno. Thread: any, each has rights of its own. */
int open_as(const struct agent_user *user, gid_t group, const char *path, int flags);
/* openat(2) likewise, without a group; a file that it makes gets `mode`, whatever the umask. */
int open_as_at(const struct agent_user *user, int folder_fd, const char *name, int flags, mode_t mode);
/* link(2) and unlink(2) likewise. */
int link_as(const struct agent_user *user, const char *path, const char *new_path);
int unlink_as(const struct agent_user *user, const char *path);

#endif
