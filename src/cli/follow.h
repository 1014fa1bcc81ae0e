/* SPDX-License-Identifier: Apache-2.0 */
/* Watching one task until it ends. */
#ifndef CLI_FOLLOW_H
#define CLI_FOLLOW_H

#include "cli/cli.h"

/* Before anything else of a command that follows: threads that a library makes must not take the Ctrl-C that
 * follow_task waits for. */
void follow_block_signals(void);
/* Shows progress on stderr (a bar on a terminal, else a line per phase) and returns the final task in
 * *ret_task (transfer full). The first Ctrl-C asks the manager to cancel the task if `cancels`, the second
 * one leaves. -1: the stream was lost for good. */
int follow_task(const char *id, bool cancels, JsonObject **ret_task, struct err *err);
/* The result for people, on stdout: one short table, or the error. Returns CLI_DONE only for state "success".
 */
int follow_report(struct cli *cli, JsonObject *task);
/* Both: follow, then report or print the document. */
int follow_and_report(struct cli *cli, const char *id, bool cancels);

#endif
