/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A VM's disks move to another datastore of its host, while it runs or while it is off. For the manager this
 * is a move as any other (agent/moves.h) whose source and destination are one host: the same calls, the same
 * status; ownership has no part in it, and so neither journal nor handover nor a job.
 *
 *   prepare   checks; a record of what is to be made (agent/disk_images.h); the VM is held; thin images are
 * made start     they become copies: by the VM's QEMU (storage_copy.h), or by qemu-img if it is off
 *             (storage_convert.h); then the config file names them
 *   end       storage_settle.h, whatever has happened
 *
 * Main-loop thread.
 */
#ifndef AGENT_STORAGE_MOVE_H
#define AGENT_STORAGE_MOVE_H

#include "agent/moves.h"
#include "agent/vm.h"

struct storage_move;

/* As source: of the VM and its disks; else of the datastore that they go to. */
void storage_find_problems(struct agent *agent, const struct move_spec *spec, bool as_source,
                           struct findings *findings);
/* As moves_prepare_source, moves_start_source and moves_cancel, for a move that is new here, and for one that
 * has a `storage`. REFUSED "too-late-to-cancel" once the guest stands for it. */
void storage_prepare(struct agent *agent, const struct move_spec *spec, move_done done, void *user);
void storage_start(struct move *move, move_done done, void *user);
int storage_cancel(struct move *move, const struct err *why, struct err *err);

/* What an agent that was killed left of one, at that VM: it is brought to an end, before anybody lets its
 * guest run, and becomes a move again that says how it ended. `is_stopped`: QEMU runs and its guest stands as
 * `stop` leaves it. False: there is nothing of that kind, or this agent is at it; `done` is not called. */
bool storage_adopt(struct vm *vm, bool is_stopped, vm_done done, void *user);
/* After vms_load: the same of all VMs that are off. */
void storage_recover(struct agent *agent);

#endif
