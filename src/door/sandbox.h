/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DOOR_SANDBOX_H
#define DOOR_SANDBOX_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"

/* Gives up root for this user and group, with no supplementary groups. */
int sandbox_become(uid_t uid, gid_t gid, struct err *err);
/* From here on: no new privileges, no core or ptrace by the own user, and only the system calls of the loop;
 * any other one ends the process. */
int sandbox_enter(struct err *err);

#endif
