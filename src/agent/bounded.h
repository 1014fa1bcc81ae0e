/* SPDX-License-Identifier: Apache-2.0 */
/* A question to a file system that may never answer. */
#ifndef AGENT_BOUNDED_H
#define AGENT_BOUNDED_H

#include <stdbool.h>
#include <stddef.h>

/* Long enough for a busy disk; a main loop that stands so long once does no harm to a guest. */
#define BOUNDED_MS 2000

/* Calls `work` with a copy of the `size` bytes of `question` on a thread of its own, and waits for at most
 * limit_ms. True: `question` is what `work` made of it. False: it did not come back, is left behind, and
 * nobody sees what it finds. `work` must use nothing else that may go away. */
bool bounded_call(void (*work)(void *question), void *question, size_t size, unsigned limit_ms);

#endif
