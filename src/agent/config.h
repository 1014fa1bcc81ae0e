/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AGENT_CONFIG_H
#define AGENT_CONFIG_H

#include "agent/agent.h"

/* Reads the GKeyFile. ERR_BAD_REQUEST names file, group and key. */
int config_read(const char *path, struct agent_config *ret_config, struct err *err);

#endif
