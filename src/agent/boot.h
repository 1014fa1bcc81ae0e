/* SPDX-License-Identifier: Apache-2.0 */
/* Which boot of the host this is: what was true of processes and clocks in another one is over. */
#ifndef AGENT_BOOT_H
#define AGENT_BOOT_H

#include "agent/agent.h"

/* The kernel's id of this boot, a UUID. */
int boot_id_read(char ret_id[MODEL_UUID_SIZE], struct err *err);
/* The one in state_dir/boot_id, which the agent has dealt with; ERR_NOT_FOUND if there is none. */
int boot_recorded(const struct agent *agent, char ret_id[MODEL_UUID_SIZE], struct err *err);
/* Durable. */
int boot_record(const struct agent *agent, const char *id, struct err *err);

#endif
