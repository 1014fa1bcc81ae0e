/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looks at one machine and says what is well, what is wrong, and the cure. It depends on no daemon: agent and
 * manager may be dead, hung, or never have been here. Nothing is changed. What may hang (a dead NFS server,
 * a resolver, a stopped agent) is asked by a child process or with a time limit. Single thread, root.
 */
#ifndef DOCTOR_DOCTOR_H
#define DOCTOR_DOCTOR_H

#include "http/http.h"
#include "model/diagnosis.h"

#define DOCTOR_AGENT_CONFIG "/etc/godwit/agent.conf"
#define DOCTOR_MANAGER_CONFIG "/etc/godwit/manager.conf"

struct doctor_wish {
    const char *agent_config; /* paths */
    const char *manager_config;
    struct http_client *manager; /* as the command line is configured; NULL: manager_err says why not */
    struct err manager_err;
};

/* Runs all checks of the table, in its order. If everything hangs, a minute and
 * some seconds for each datastore. */
void doctor_examine(const struct doctor_wish *wish, struct diagnoses *ret_lines);
/* Packs what a doctor elsewhere needs into `path`: the lines, versions, configurations, logs, what the
 * journals say, tasks. The name's end says how it is packed: .tar.gz, .tar.zst. What looks like a secret is
 * taken out of every text. */
int doctor_bundle(const struct doctor_wish *wish, const struct diagnoses *lines, const char *path,
                  struct err *err);

#endif
