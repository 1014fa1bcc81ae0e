/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The operator's last resort: who owns a VM is decided by hand (manager: `vm settle`), when the handover
 * itself cannot find out any more. Outside of a move this is the only code that takes a VM away from this
 * host or gives it one. The manager sees to the order: all hosts that answer give the VM up first, then one
 * becomes the owner, in an epoch above all that are known. Main-loop thread.
 */
#ifndef AGENT_SETTLE_H
#define AGENT_SETTLE_H

#include "agent/agent.h"
#include "model/ownership.h"

/* What this host knows of the VM. Changes nothing. */
void settle_look(struct agent *agent, const char *uuid, struct ownership *ret_ownership);

typedef void (*settle_done)(const struct ownership *ownership, const struct err *err, void *user);
/*
 * Ends every move of the VM where it stands, then:
 * - not the owner: journals GONE in order->epoch, ends QEMU and forgets the VM;
 * - owner: journals OWNED in order->epoch; a guest that stands here runs on, the shell of a move whose COMMIT
 *   has not come is ended first. Registers the VM from order->spec if it is not.
 * A damaged journal is kept aside and replaced. May be repeated, also before the first has ended; the later
 * epoch counts. REFUSED, with nothing changed: "epoch-too-old" if this host knows the same or a later epoch,
 * "vm-config-missing". `done` is called once.
 */
void settle_apply(struct agent *agent, const char *uuid, const struct settle_order *order, settle_done done,
                  void *user);
/* After vms_load: ends the QEMU of a VM whose giving up was interrupted after its journal entry. */
void settle_recover(struct agent *agent);

#endif
