/* SPDX-License-Identifier: Apache-2.0 */
/* Asks other programs what they can do here, by starting them once. */
#ifndef AGENT_PROBE_H
#define AGENT_PROBE_H

#include "agent/agent.h"

struct qemu_caps;

/* Starts config.qemu_path without a machine and asks it; `done` once, from the main loop. */
void probe_qemu(struct agent *agent, struct qemu_caps *ret_caps,
                void (*done)(const struct err *err, void *user), void *user);
/* `godwit-job --probe`, which prints {"dirty_source":"async|sync|none","detail":"…"} as its last line. A job
 * that cannot be run gives "none" and why. */
void probe_dirty_source(struct agent *agent, void (*done)(const char *source, const char *detail, void *user),
                        void *user);

#endif
