/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AGENT_VM_CHECK_H
#define AGENT_VM_CHECK_H

#include "agent/agent.h"

/* open(2) with the rights of `user` (and one supplementary group, 0: none), always close-on-exec. -1 and
 * errno. */
int open_as(const struct agent_user *user, gid_t group, const char *path, int flags);
/* "kvm" or "tcg": what the VM gets on this host. */
const char *vm_accel_here(const struct agent *agent, const struct vm_spec *spec);

#endif
