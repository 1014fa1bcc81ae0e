/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AGENT_ENROLL_H
#define AGENT_ENROLL_H

#include "agent/agent.h"
#include "base/err.h"

/* Spends a one-time token ("gwe1.NAME.RANDOM.FINGERPRINT") at the manager and stores the new identity; one
 * that the host had is replaced. Blocking: for the command line. */
int enroll(const struct agent_config *config, const char *manager_url, const char *token, struct err *err);

#endif
