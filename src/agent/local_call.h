/* SPDX-License-Identifier: Apache-2.0 */
/* The other side of agent/local.h, for command lines on the same machine. */
#ifndef AGENT_LOCAL_CALL_H
#define AGENT_LOCAL_CALL_H

#include <json-glib/json-glib.h>

#include "agent/agent.h"
#include "base/err.h"

#define LOCAL_SOCKET "agent.sock" /* in run_dir */

/* Blocking: one call to the agent with this configuration. ERR_PEER_LOST "agent-not-running".
 * `body` is consumed (may be NULL); *ret_object may be NULL afterwards, else json_object_unref. */
int local_call(const struct agent_config *config, const char *path, JsonObject *body, unsigned timeout_s,
               JsonObject **ret_object, struct err *err);

#endif
