/* SPDX-License-Identifier: Apache-2.0 */
/* Watching one task until it ends. */
#ifndef CLI_FOLLOW_H
#define CLI_FOLLOW_H

#include <stdio.h>

#include "cli/cli.h"

/* Before anything else of a command that follows: threads that a library makes must not take the Ctrl-C that
 * follow_and_report waits for. */
void follow_block_signals(void);
/* Shows progress on stderr (a bar on a terminal, else a line per phase) until the task ends, then says the
 * result on stdout: one short table, the error, or with --json the document. The first Ctrl-C asks the
 * manager to cancel the task if `cancels`, the second one leaves. CLI_DONE only for state "success". */
int follow_and_report(struct cli *cli, const char *id, bool cancels);
/* What the move went through that its operator should know. */
void follow_print_warnings(JsonObject *task, FILE *file);

#endif
