/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Resource pools as the kernel enforces them: QEMU of each VM lives in ROOT/pool-NAME/.../vm-UUID of the cpu
 * controller, where a pool's group has its part of the CPU limit and its shares, and a VM's group the shares
 * of its CPUs. ROOT is agent_config.cgroup below the hierarchy: cgroup v2 where its cpu controller is there,
 * else v1. Without either, pools are only counted, and the host's facts say so.
 *
 * Memory is not in it: a VM's memory is reserved whole when it starts and never grows, a limit could only end
 * a QEMU for memory that it was promised, and on the destination of a move the pages would be charged to the
 * job that receives them.
 *
 * Groups outlive the agent as QEMU does. An empty one is removed when it is met. Everything here belongs to
 * the main loop and may be called again.
 */
#ifndef AGENT_CGROUP_H
#define AGENT_CGROUP_H

#include "agent/agent.h"
#include "model/pool.h"

struct cgroup;
struct vm;

/* Where the cpu controller is mounted (g_free, NULL: nowhere): "v1", "v2" or "none". Needs no agent. */
const char *cgroup_find_cpu(char **ret_mount);
/* At the agent's start, before VMs are adopted: finds the hierarchy, makes ROOT, reads the list of pools that
 * the manager sent last. Fills facts.cgroups and facts.cgroups_reason; agent->cgroup is never NULL after. */
void cgroup_open(struct agent *agent);
/* Removes empty groups, ROOT too; the running ones stay. */
void cgroup_close(struct agent *agent);
/* The pools of the cluster with this host's part of their limits: kept on disk first, then set. */
int cgroup_set_pools(struct agent *agent, const struct pool_spec *pools, uint32_t n_pools, struct err *err);
/* Puts the VM's QEMU where its pool says. What fails is logged: the VM runs, without the pool's limit. */
void cgroup_place(const struct vm *vm);
/* Removes groups that hold nothing any more. */
void cgroup_sweep(struct agent *agent);

#endif
