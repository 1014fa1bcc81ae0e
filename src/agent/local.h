/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What root on this machine may ask of the running agent: run_dir/agent.sock, HTTP as everywhere, the
 * caller's user checked by the kernel's word. The command line of godwit-agent is the only client.
 */
#ifndef AGENT_LOCAL_H
#define AGENT_LOCAL_H

#include <json-glib/json-glib.h>

#include "agent/agent.h"
#include "agent/identity.h"
#include "agent/renew.h"
#include "base/err.h"

struct http_server;

#define LOCAL_SHUTDOWN_MAX_S 3600

/* What the answers are made of; must outlive the server. */
struct local {
    struct agent *agent;
    const struct identity *identity;
    struct renewal *renewal;
    /* Loads the identity anew from its file. */
    int (*reload)(void *user, struct err *err);
    void *user;
};

/* The server's routes with `local` as their user; http_server_free. */
int local_listen(struct local *local, struct http_server **ret_server, struct err *err);

/* The other side, blocking: one call to the agent with this configuration. ERR_PEER_LOST "agent-not-running".
 * `body` is consumed (may be NULL); *ret_object may be NULL afterwards, else json_object_unref. */
int local_call(const struct agent_config *config, const char *path, JsonObject *body, unsigned timeout_s,
               JsonObject **ret_object, struct err *err);

#endif
