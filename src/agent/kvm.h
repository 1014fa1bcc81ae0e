/* SPDX-License-Identifier: Apache-2.0 */
/* Whether guests of this host can run under KVM. */
#ifndef AGENT_KVM_H
#define AGENT_KVM_H

#include <stdbool.h>

#include "agent/agent.h"
#include "model/site.h"

/* The device must be there, work, and open for QEMU's user. *ret_group: the group that opens it, which that
 * user needs, 0: none. "kvm-missing" says why not. */
int kvm_try(const struct agent_user *qemu_user, gid_t *ret_group, struct err *err);
/* The CPU shows vmx or svm. Main-loop thread, as the next. */
bool kvm_cpu_is_able(void);
/* Its maker, "GenuineIntel"; "": not said. */
void kvm_cpu_vendor(char ret_vendor[SITE_VENDOR_MAX]);

#endif
