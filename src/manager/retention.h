/* SPDX-License-Identifier: Apache-2.0 */
/* How long history is kept: events, and tasks that are over, by number and by age ([manager] events_keep and
 * so on). Looks at the start and each minute, and removes a little at a time while there is too much. */
#ifndef MANAGER_RETENTION_H
#define MANAGER_RETENTION_H

#include "manager/manager.h"

struct retention *retention_start(struct manager *manager);
/* NULL ok. */
void retention_stop(struct retention *retention);

#endif
