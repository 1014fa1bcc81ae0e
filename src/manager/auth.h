/* SPDX-License-Identifier: Apache-2.0 */
/* Bearer tokens and enrolment tokens. Only their SHA-256 is stored. */
#ifndef MANAGER_AUTH_H
#define MANAGER_AUTH_H

#include <stdbool.h>

#include "manager/manager.h"

#define AUTH_TOKEN_SIZE 80
#define AUTH_ENROLMENT_SIZE 176

/* Makes (or replaces) the token `name` and writes it to ret_token, the only place where it ever is. */
int auth_token_new(struct db *db, const char *name, char ret_token[AUTH_TOKEN_SIZE], struct err *err);
/* Name of the token's owner (g_free) or NULL. Takes the same time wherever a wrong token differs. */
char *auth_token_find(struct db *db, const char *token);
/* True if there is no token at all: the first start. */
int auth_is_first_start(struct db *db, bool *ret_first, struct err *err);
/* A token that lets the host `name` enroll once: gwe1.NAME.RANDOM.FINGERPRINT. */
int auth_enrolment_new(struct manager *manager, const char *host, char ret_token[AUTH_ENROLMENT_SIZE],
                       struct err *err);
/* The host that a token is for, from its text alone; UNAUTHORIZED "enrolment-token" if it is none. */
int auth_enrolment_host(const char *token, char ret_host[MODEL_NAME_MAX], struct err *err);
/* The one answer to every token that does not count. */
int auth_enrolment_refuse(struct err *err);
/* Uses the token up for the host's new certificate; UNAUTHORIZED "enrolment-token" when it is none of ours or
 * was used. */
int auth_enrolment_use(struct manager *manager, const char *token, const char *host, const char *certificate,
                       struct err *err);

#endif
