/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which hosts' journals say "mine" of a VM, so that a VM with two owners is seen and never started. Two
 * answers that were given at different times prove nothing: the VM may have moved between them. A journal
 * that gave the same step and epoch twice held it all the time between (an epoch is used once), so two hosts
 * are in conflict exactly if such times overlap.
 */
#ifndef MANAGER_CLAIMS_H
#define MANAGER_CLAIMS_H

#include "manager/inventory.h"

/* A host's answer about a VM; `asked_ns` is when it was asked (base/clock.h). */
void claims_note(struct host *host, const struct vm_status *vm, uint64_t asked_ns);
void claims_forget(struct host *host, const char *uuid);
/* Names of the hosts that own the VM at the same time, by name; NULL if there is no conflict.
 * g_ptr_array_unref. Claims below the epoch that the operator settled do not count. */
GPtrArray *claims_conflict(struct manager *manager, const char *uuid);

#endif
