/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AGENT_ENROLL_H
#define AGENT_ENROLL_H

#include <gio/gio.h>

#include "agent/agent.h"
#include "base/err.h"

/* Spends a one-time token ("gwe1.NAME.RANDOM.FINGERPRINT") at the manager and writes
 * state_dir/tls/{agent.crt, agent.key,ca.crt}. Blocking: for the command line. */
int enroll(const struct agent_config *config, const char *manager_url, const char *token, struct err *err);
/* The files that enroll wrote; transfer full. ERR_NOT_FOUND "not-enrolled" if there are none. */
int enroll_load(const struct agent_config *config, GTlsCertificate **ret_own, GTlsCertificate **ret_ca,
                struct err *err);

#endif
