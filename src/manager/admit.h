/* SPDX-License-Identifier: Apache-2.0 */
/* Which queued tasks may start: at most ADMIT_MOVES_PER_HOST running moves on each host, those of high
 * priority first, else in order of creation. */
#ifndef MANAGER_ADMIT_H
#define MANAGER_ADMIT_H

#include "manager/task.h"

#define ADMIT_MOVES_PER_HOST 4

/* Starts what may start; called after each change. */
void admit_run(struct manager *manager);
/* What a new task of that VM has to give way to: REFUSED "task-running" naming the task. */
int admit_check(struct manager *manager, const struct vm_status *vm, struct err *err);

#endif
