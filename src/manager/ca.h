/* SPDX-License-Identifier: Apache-2.0 */
/* The cluster's certificate authority and the manager's own certificate, files of mode 0600 in the state
 * folder. */
#ifndef MANAGER_CA_H
#define MANAGER_CA_H

#include <gio/gio.h>

#include "http/http.h"
#include "manager/manager.h"

struct authority {
    char *ca_cert; /* PEM */
    char *ca_key;  /* PEM */
    char fingerprint[65];
    GTlsCertificate *ca;
    GTlsCertificate *own; /* with key; issued anew at each start, so that addresses and dates are current */
};

/* Makes the CA on the first start. */
int authority_open(const struct manager_config *config, struct authority **ret_authority, struct err *err);
/* A new certificate for the manager itself in authority->own. */
int authority_issue_own(struct authority *authority, const struct manager_config *config, struct err *err);
/* Signs a host's request; *ret_cert is the leaf, then the CA (PEM, g_free). */
int authority_sign_host(const struct authority *authority, const char *csr,
                        const struct http_identity *identity, char **ret_cert, struct err *err);
void authority_free(struct authority *authority);

#endif
