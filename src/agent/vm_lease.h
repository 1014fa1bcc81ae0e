/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The protection of a VM's config file while a move holds the VM on its source (phase "source check and
 * lock"): the file is read-only (mode 0400), and UUID.lease lies beside it, JSON, written atomically:
 *
 *   {"task": UUID, "epoch": N, "boot_id": UUID, "expires_ns": N on CLOCK_BOOTTIME, "renewals": N}
 *
 * Progress of the copy renews it; any end of the move releases it. It survives the agent: the next one finds
 * the move in the journal and releases it when that is settled. A lease of another boot is over. Who expires
 * before GIVEN gives the move up; after GIVEN the expiry has no effect. Main-loop thread.
 */
#ifndef AGENT_VM_LEASE_H
#define AGENT_VM_LEASE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "model/vm.h"

struct agent;
struct vm;

struct vm_lease {
    char task[MODEL_UUID_SIZE]; /* "": there is none */
    uint64_t epoch;             /* of the attempt */
    char boot_id[MODEL_UUID_SIZE];
    uint64_t expires_ns; /* CLOCK_BOOTTIME; the file's may be earlier by a ninth of the term */
    uint64_t renewals;
    uint64_t written_ns; /* when the file was, CLOCK_BOOTTIME */
};

/* Writes the lease for `lease_s` of the configuration and makes the config file read-only; both durable. On
 * failure there is no lease. */
int vm_lease_take(struct vm *vm, const char *task, uint64_t epoch, struct err *err);
/* The copy has advanced: the term begins anew. The file is written again after a ninth of the term at the
 * earliest. No lease: nothing. */
void vm_lease_renew(struct vm *vm);
/* The move has let go of the VM: the config file may be written again, the lease is gone. May be repeated;
 * also ends the protection that a destination's session gave. */
void vm_lease_release(struct vm *vm);
/* At the agent's start: takes the lease up again if its move is in the journal, else releases it. */
void vm_lease_load(struct vm *vm);
bool vm_lease_is_live(const struct vm *vm);
/* Until it expires; 0: it has, or there is none. */
uint64_t vm_lease_left_ms(const struct vm *vm);
/* REFUSED "vm-is-moving" with the task's id while a move or a live lease holds the VM, "vm-disks-changing"
 * while its disks are changed; the VM's problem if it has one. */
int vm_check_free(const struct vm *vm, struct err *err);
/* The task that holds it, or "". */
const char *vm_holder(const struct vm *vm);
/* The error "vm-is-moving", for a VM of that name which `task` holds here. */
int vm_refuse_held(const struct agent *agent, const char *vm, const char *task, struct err *err);

#endif
