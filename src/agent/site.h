/* SPDX-License-Identifier: Apache-2.0 */
/* What this host says of what a VM must find on both sides of a migration (model/site.h). Main-loop thread.
 */
#ifndef AGENT_SITE_H
#define AGENT_SITE_H

#include "agent/vm.h"
#include "model/move.h"
#include "model/site.h"

/* Its QEMU answers: asks what the guest's CPU can do, and keeps it with the process. Nobody waits for it. */
void site_learn_cpu(struct vm *vm);
/* agent->qemu is known now: so is what the guests of VMs that were adopted before see. */
void site_know_offered(struct agent *agent);
/* What is not known is left empty. Opens the disks as QEMU's user does, for reading. */
void site_describe(struct agent *agent, const struct move_spec *spec, bool as_source,
                   struct move_site *ret_site);

#endif
