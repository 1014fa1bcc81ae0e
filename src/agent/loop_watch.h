/* SPDX-License-Identifier: Apache-2.0 */
/* How late the main loop comes to what is due: a loop that is held up answers nobody. Main-loop thread. */
#ifndef AGENT_LOOP_WATCH_H
#define AGENT_LOOP_WATCH_H

#include <stdint.h>

struct loop_watch;

struct loop_watch *loop_watch_start(void);
void loop_watch_free(struct loop_watch *watch); /* NULL ok */
/* The latest that it was within the last minute or two, in ms. */
uint32_t loop_watch_late_ms(const struct loop_watch *watch);

#endif
