/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AGENT_VM_CHECK_H
#define AGENT_VM_CHECK_H

#include "agent/agent.h"

/* "kvm" or "tcg": what the VM gets on this host. */
const char *vm_accel_here(const struct agent *agent, const struct vm_spec *spec);

#endif
