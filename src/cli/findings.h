/* SPDX-License-Identifier: Apache-2.0 */
/* What the manager's checks found, for people. Single thread. */
#ifndef CLI_FINDINGS_H
#define CLI_FINDINGS_H

#include <stdio.h>

#include "cli/cli.h"

/* Asks the manager what is in the way of that VM's migration (POST /v1/checks). `destinations` NULL: to every
 * other host. `options` (transfer full) as of a migration, or NULL. *ret_answer: transfer full. Returns 0, or
 * CLI_FAILED with the error said. */
int findings_ask(struct cli *cli, const char *vm, char **destinations, JsonObject *options,
                 JsonObject **ret_answer);
/* One element of the answer's "hosts": the host, and what was found. */
void findings_print(FILE *to, JsonObject *host);
/* True if one of the findings of this host is an error. */
bool findings_refuse(JsonObject *host);

#endif
