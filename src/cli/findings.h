/* SPDX-License-Identifier: Apache-2.0 */
/* What the manager's checks found, for people. Single thread. */
#ifndef CLI_FINDINGS_H
#define CLI_FINDINGS_H

#include <stdio.h>

#include "cli/cli.h"

/* The host, and what was found. */
void findings_print(FILE *to, const char *host, JsonArray *findings);
/* True if one of them is an error. */
bool findings_refuse(JsonArray *findings);

#endif
