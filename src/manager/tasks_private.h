/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by task.c and tasks.c only. */
#ifndef MANAGER_TASKS_PRIVATE_H
#define MANAGER_TASKS_PRIVATE_H

#include "manager/task.h"

struct tasks {
    GHashTable *open; /* id -> struct task, owned; those not final */
};

/* The member of the document that is stored by itself: lists do without it. */
#define TASK_TIMELINE "timeline"

int task_save(const struct task *task, struct err *err);
/* Enters the stored phase again after a start of the manager. */
void task_resume(struct task *task);

#endif
