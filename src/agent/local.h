/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What root on this machine may ask of the running agent: run_dir/agent.sock, HTTP as everywhere, the
 * caller's user checked by the kernel's word. Its clients are command lines (agent/local_call.h).
 */
#ifndef AGENT_LOCAL_H
#define AGENT_LOCAL_H

#include <json-glib/json-glib.h>

#include "agent/agent.h"
#include "agent/identity.h"
#include "agent/renew.h"
#include "base/err.h"

struct http_server;
struct loop_watch;

#define LOCAL_SHUTDOWN_MAX_S 3600

/* What the answers are made of; must outlive the server. */
struct local {
    struct agent *agent;
    const struct identity *identity;
    struct renewal *renewal;
    const struct loop_watch *loop_watch;
    /* Loads the identity anew from its file. */
    int (*reload)(void *user, struct err *err);
    void *user;
};

/* The server's routes with `local` as their user; http_server_free. */
int local_listen(struct local *local, struct http_server **ret_server, struct err *err);

#endif
