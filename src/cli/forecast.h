/* SPDX-License-Identifier: Apache-2.0 */
/* What 'vm migrate --dry-run' shows. */
#ifndef CLI_FORECAST_H
#define CLI_FORECAST_H

#include "cli/cli.h"

/* Asks with `body` (taken over), says the answer; returns enum cli_exit. */
int forecast_and_report(struct cli *cli, JsonObject *body);

#endif
