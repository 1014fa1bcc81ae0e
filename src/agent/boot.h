/* SPDX-License-Identifier: Apache-2.0 */
/* Which boot of the host this is: what was true of processes and clocks in another one is over. */
#ifndef AGENT_BOOT_H
#define AGENT_BOOT_H

#include "base/err.h"
#include "model/vm.h"

/* The kernel's id of this boot, a UUID. */
int boot_id_read(char ret_id[MODEL_UUID_SIZE], struct err *err);

#endif
