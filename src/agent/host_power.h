/* SPDX-License-Identifier: Apache-2.0 */
/* What the host's going down and coming up mean for its VMs. Main-loop thread. */
#ifndef AGENT_HOST_POWER_H
#define AGENT_HOST_POWER_H

#include "agent/agent.h"

/*
 * Switches the host's VMs off: moves that can still be cancelled are, then each guest is asked, and its QEMU
 * ended when the time is over. From now on no VM starts or arrives here (REFUSED "host-shutting-down") until
 * vms_power_on. `done` is called once, when all are off or a few seconds after the time is over: a VM whose
 * move was handed over and has no verdict is left alone.
 */
void vms_shutdown(struct agent *agent, unsigned timeout_s, void (*done)(struct agent *agent, void *user),
                  void *user);
/* The host came up: VMs may start here again, and those with `autostart` are started, as far as their
 * journals let them. `done` once, when each has started or not; what failed is logged. */
void vms_power_on(struct agent *agent, void (*done)(struct agent *agent, void *user), void *user);

#endif
