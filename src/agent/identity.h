/* SPDX-License-Identifier: Apache-2.0 */
/* Who this host is for the manager: key and certificate, and whom it obeys. One file,
 * state_dir/tls/identity.json of mode 0600, so that a crash leaves the old identity or the new one, never
 * half of each. */
#ifndef AGENT_IDENTITY_H
#define AGENT_IDENTITY_H

#include <gio/gio.h>

#include "agent/agent.h"
#include "base/err.h"

struct identity {
    char *manager_url;    /* "https://ADDRESS:PORT"; "" if an earlier version enrolled the host */
    GTlsCertificate *own; /* with key */
    GTlsCertificate *ca;
    int64_t from_s, until_s; /* life of `own`, seconds since 1970 UTC */
};

/* ERR_NOT_FOUND "not-enrolled" if there is none. identity_clear afterwards, also after a failure. */
int identity_load(const struct agent_config *config, struct identity *ret_identity, struct err *err);
void identity_clear(struct identity *identity);

/* As PEM. */
struct identity_text {
    const char *manager_url;
    const char *certificate;
    const char *key;
    const char *ca;
};
/* Checks that it can be used and replaces the file. */
int identity_store(const struct agent_config *config, const struct identity_text *text, struct err *err);

#endif
