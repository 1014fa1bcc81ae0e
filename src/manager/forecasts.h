/* SPDX-License-Identifier: Apache-2.0 */
/* What a migration would be like: its checks, as phases 1 to 4 make them, then two seconds of samples. It is
 * no task: nothing is held, stored or left behind. */
#ifndef MANAGER_FORECASTS_H
#define MANAGER_FORECASTS_H

#include "manager/task.h"

/* Answers `request` with 200 and the forecast, or with what would refuse the migration. */
void forecasts_start(struct manager *manager, struct http_request *request, const struct task_request *wish);

#endif
