/* SPDX-License-Identifier: Apache-2.0 */
/* What is told of hosts and their VMs: which change of a status is an event, and who asked for it. */
#ifndef MANAGER_VM_EVENTS_H
#define MANAGER_VM_EVENTS_H

#include "manager/events.h"
#include "manager/inventory.h"

/* Between these two, what the VM does is by that user's wish. A second wish replaces the first; "" ends it.
 */
void vm_events_asked_by(struct inventory *inventory, const char *uuid, const char *user);
/* A host says something new of a VM; `before` NULL: it did not list it. `vm->host` is set. */
void vm_events_changed(const struct host *host, const struct vm_status *before, const struct vm_status *vm);
/* A host does not have the VM any more; `before`: as it was. */
void vm_events_gone(const struct host *host, const struct vm_status *before);
/* Any other event of a VM on a host; who asked for it is known as above. `error` may be NULL. */
void vm_events_tell(const struct host *host, enum event_type type, const struct vm_status *vm,
                    const char *detail, const struct err *error);
/* An event of a host, by its user, or with words for the text; both may be NULL. */
void host_tell(const struct host *host, enum event_type type, const char *user, const char *detail);
/* The host does not answer any more. */
void host_tell_lost(const struct host *host, const struct err *why);

#endif
