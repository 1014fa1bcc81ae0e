/* SPDX-License-Identifier: Apache-2.0 */
/* The disks of a VM on this host: where each is, and whether QEMU could use it. Main-loop thread; storage
 * that does not answer is waited for two seconds at most. */
#ifndef AGENT_DISKS_H
#define AGENT_DISKS_H

#include "agent/agent.h"
#include "model/finding.h"

struct disk_look;

/* Where this host has it. REFUSED "datastore-missing" if it has no such datastore. */
int disks_path(const struct agent *agent, const struct vm_spec *spec, const struct vm_disk *disk,
               char ret_path[MODEL_PATH_MAX], struct err *err);
/* Datastores that the VM uses and that cannot be used here. */
void disks_find_store_problems(const struct agent *agent, const struct vm_spec *spec,
                               struct findings *findings);
/* The same, and each image with all that it is built on: missing, not to be opened, of another format, in
 * use by others (not as_incoming, where the source has it open), on a datastore without room. */
void disks_find_problems(const struct agent *agent, const struct vm_spec *spec, bool as_incoming,
                         struct findings *findings);
/* The same of one disk alone, which the VM need not have yet: the first problem. */
int disks_check(const struct agent *agent, const struct vm_spec *spec, const struct vm_disk *disk,
                bool is_open_elsewhere, struct err *err);
/* What its image is, whether or not that is a problem: `ret_look` (agent/disk_look.h). -1: its storage does
 * not answer, or the host has no such datastore. */
int disks_look(const struct agent *agent, const struct vm_spec *spec, const struct vm_disk *disk,
               bool is_open_elsewhere, struct disk_look *ret_look, struct err *err);
/* The error for the trouble that a look found; 0 if there is none. */
int disks_refuse(const struct agent *agent, const struct vm_spec *spec, const struct vm_disk *disk,
                 const struct disk_look *look, struct err *err);
/* Its storage is known not to answer, so that no file there may be touched. */
bool disks_is_stale(const struct agent *agent, const char *path);

#endif
