/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The right of way of a switch-over: while a guest stands still, those that bring it back (QEMU, the job,
 * this agent) come before all ordinary threads that want the same core, and at once (SCHED_RR, see sched(7):
 * a better nice value only gives a larger share, and each of the dozen steps would still wait for somebody's
 * time slice). vCPUs too: they have to run to stand, and QEMU lets them save what they hold. Only while the
 * guest stands: a copy takes no guest's time. An agent that may not do this goes on without. Main-loop
 * thread.
 */
#ifndef AGENT_PRECEDENCE_H
#define AGENT_PRECEDENCE_H

#include <sys/types.h>

struct precedence;

/* All threads of both processes, and those that they start meanwhile; the job's keep it until it ends.
 * Threads that the operator gave a policy of their own keep that. 0: there is no such process. */
struct precedence *precedence_take(pid_t qemu, pid_t job);
/* `qemu` as it was given, if it still lives, else 0. Frees `precedence`; NULL ok. */
void precedence_give_back(struct precedence *precedence, pid_t qemu);

#endif
