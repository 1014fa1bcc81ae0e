/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The right of way of a switch-over: while a guest stands still, those that bring it back (QEMU, the job,
 * this agent) come before all ordinary threads that want the same core, and at once (SCHED_RR with priority
 * 2, see sched(7): a better nice value only gives a larger share, and each of the dozen steps would still
 * wait for somebody's time slice). vCPUs too, with priority 1: they have to run to stand, and to let QEMU
 * save what they hold; but who stops them, or answers that they run, must not wait for the end of their time
 * slices, of which a guest with more vCPUs than the host has cores uses all. Only while the guest stands: a
 * copy takes no guest's time. Threads with another policy or a higher priority are the operator's, and stay
 * as they are. An agent that may not do this goes on without. Main-loop thread.
 */
#ifndef AGENT_PRECEDENCE_H
#define AGENT_PRECEDENCE_H

#include <sys/types.h>

/* All threads of both processes, and those that they start meanwhile; the job's keep it until it ends. 0:
 * there is no such process. */
void precedence_take(pid_t qemu, pid_t job);
/* Once for each take. `qemu` as it was given if it still lives, else 0. */
void precedence_give_back(pid_t qemu);
/* Of a QEMU whose agent may have died in a switch-over. */
void precedence_withdraw(pid_t qemu);

#endif
