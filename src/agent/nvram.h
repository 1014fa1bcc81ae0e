/* SPDX-License-Identifier: Apache-2.0 */
/* UEFI on this host: the firmware that is installed, and the file of a VM's variables. */
#ifndef AGENT_NVRAM_H
#define AGENT_NVRAM_H

#include "agent/agent.h"

/* Makes the VM's file of variables, as the firmware's package has them, unless it is there; with the rights
 * of the QEMU user, so that it is on the storage as a disk is. For a VM with UEFI that starts, never for one
 * that arrives. Blocks for half a megabyte. */
int nvram_make(const struct agent *agent, const struct vm_spec *spec, struct err *err);
/* Bytes of the firmware; 0 if the QEMU user cannot read it. */
uint64_t nvram_firmware_bytes(const struct agent *agent);
/* What a VM with UEFI needs here; a file of variables that is not there yet is no problem for a VM that
 * starts. */
int nvram_check(const struct agent *agent, const struct vm_spec *spec, bool as_incoming, struct err *err);

#endif
