/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Around a migration: asks the guest agent of a VM for the guest's clock, sets it if that is wished, and
 * tells the guest (model/guest_report.h). Nothing that a guest says, or does not say, forbids anything.
 * Main-loop thread.
 */
#ifndef AGENT_GUEST_AGENT_H
#define AGENT_GUEST_AGENT_H

#include "agent/vm.h"
#include "model/guest_report.h"

/* `done` once, from the main loop, after notice_timeout_s and 16 s at the latest; the VM may be gone by then.
 */
void guest_agent_visit(const struct vm *vm, const struct guest_request *request,
                       void (*done)(const struct guest_report *report, void *user), void *user);

#endif
