/* SPDX-License-Identifier: Apache-2.0 */
/* What may hang, with a limit: done by a child process that is left behind when it is late. A child that
 * waits for a dead disk cannot be killed, and ends by itself when the disk answers. Internal to this folder.
 */
#ifndef DOCTOR_LIMITED_H
#define DOCTOR_LIMITED_H

#include <stddef.h>

#include "base/err.h"

/* What a program wrote on standard output (g_free), when it ended. ERR_NOT_FOUND if there is no such program,
 * ERR_TIMEOUT after `limit_ms`, ERR_REFUSED if it failed: the cause is the last line that it wrote on
 * standard error. argv[0] is looked for in PATH and the folders of system programs. */
int limited_run(const char *const *argv, unsigned limit_ms, char **ret_output, struct err *err);
/* Calls `work` in a child, which fills the `size` bytes of `answer` (they are what they were before) and may
 * call only what is safe after fork: system calls. ERR_TIMEOUT after `limit_ms`. */
int limited_ask(void (*work)(void *answer), void *answer, size_t size, unsigned limit_ms, struct err *err);

#endif
