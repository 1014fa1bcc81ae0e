/* SPDX-License-Identifier: Apache-2.0 */
/* All that is in the way of a migration, as the manager and both hosts find it (phases 2 to 4), before
 * anybody asks for it. Nothing is held or changed. Main-loop thread. */
#ifndef MANAGER_CHECKS_H
#define MANAGER_CHECKS_H

#include "manager/task.h"
#include "model/finding.h"

#define CHECKS_DESTINATIONS_MAX 64

/* A task in no table, for what is to be found out about a migration that nobody has asked for yet. */
void checks_plan(struct manager *manager, const struct task_request *wish, struct task *ret_plan);
/* `done` is called once, perhaps from inside. If there is no error among the findings, plan->spec is complete
 * but for what the hosts make (ticket, hashes). `plan` stays where it is until then. */
void checks_run(struct task *plan, void (*done)(const struct findings *findings, void *user), void *user);
/* Of each destination by itself; answers the request. `names` (transfer full) ends with NULL. */
void checks_answer(struct manager *manager, struct http_request *request, const struct task_request *wish,
                   char **names);

#endif
