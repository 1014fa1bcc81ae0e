/* SPDX-License-Identifier: Apache-2.0 */
#include "manager/auth.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/fdio.h"
#include "base/log.h"
#include "manager/ca.h"
#include "model/move.h"

#define HASH_SIZE 65

static void hash_token(const char *token, char ret_hash[HASH_SIZE])
{
    g_autofree char *hash = g_compute_checksum_for_string(G_CHECKSUM_SHA256, token, -1);
    (void)snprintf(ret_hash, HASH_SIZE, "%s", hash);
}

static bool hashes_equal(const char *left, const char *right)
{
    unsigned char difference = 0;
    for (size_t i = 0; i < HASH_SIZE - 1; i++)
        difference |= (unsigned char)(left[i] ^ right[i]);
    return !difference;
}

int auth_token_new(struct db *db, const char *name, char ret_token[AUTH_TOKEN_SIZE], struct err *err)
{
    uint8_t secret[32];
    char hex[sizeof secret * 2 + 1];
    char hash[HASH_SIZE];
    fdio_random(secret, sizeof secret);
    model_hex(secret, sizeof secret, hex);
    (void)snprintf(ret_token, AUTH_TOKEN_SIZE, "gwt1.%s", hex);
    hash_token(ret_token, hash);
    struct db_token token = {name, hash, clock_wall_ms()};
    return db_token_put(db, &token, err);
}

struct search {
    char hash[HASH_SIZE];
    char *found;
};

static void compare(const struct db_token *token, void *user)
{
    struct search *search = user;
    if (strlen(token->hash) == HASH_SIZE - 1 && hashes_equal(token->hash, search->hash))
        search->found = g_strdup(token->name);
}

char *auth_token_find(struct db *db, const char *token)
{
    struct search search = {0};
    struct err err = {0};
    hash_token(token, search.hash);
    if (db_token_list(db, compare, &search, &err)) {
        log_error(&err, "a token could not be checked");
        g_clear_pointer(&search.found, g_free);
    }
    return search.found;
}

static void note_token(const struct db_token *token, void *user)
{
    (void)token;
    *(bool *)user = false;
}

int auth_is_first_start(struct db *db, bool *ret_first, struct err *err)
{
    *ret_first = true;
    return db_token_list(db, note_token, ret_first, err);
}

int auth_enrolment_new(struct manager *manager, const char *host, char ret_token[AUTH_ENROLMENT_SIZE],
                       struct err *err)
{
    uint8_t secret[16];
    char hex[sizeof secret * 2 + 1];
    char hash[HASH_SIZE];
    fdio_random(secret, sizeof secret);
    model_hex(secret, sizeof secret, hex);
    (void)snprintf(ret_token, AUTH_ENROLMENT_SIZE, "gwe1.%s.%s.%s", host, hex,
                   manager->authority->fingerprint);
    hash_token(ret_token, hash);
    return db_enrolment_add(manager->db, host, hash, clock_wall_ms(), err);
}

/* A host's name may have dots: cut from both ends. */
static bool token_host(const char *token, char ret_host[MODEL_NAME_MAX])
{
    if (!g_str_has_prefix(token, "gwe1."))
        return false;
    const char *start = token + strlen("gwe1.");
    const char *end = strrchr(start, '.');
    while (end && end > start && end[-1] != '.')
        end--;
    if (!end || end <= start + 1 || (size_t)(end - 1 - start) >= MODEL_NAME_MAX)
        return false;
    memcpy(ret_host, start, (size_t)(end - 1 - start));
    ret_host[end - 1 - start] = '\0';
    return true;
}

int auth_enrolment_refuse(struct err *err)
{
    err_set(err, ERR_UNAUTHORIZED, "enrolment-token", "this enrolment token is not valid");
    err_cause(err,
              "it was used already, a newer one was made, the host was removed, or it belongs to another "
              "manager");
    return err_fix(err, "get a new token for the host with 'godwit host enroll HOST'");
}

int auth_enrolment_host(const char *token, char ret_host[MODEL_NAME_MAX], struct err *err)
{
    return token_host(token, ret_host) ? 0 : auth_enrolment_refuse(err);
}

int auth_enrolment_use(struct manager *manager, const char *token, const char *host, const char *certificate,
                       struct err *err)
{
    char hash[HASH_SIZE];
    hash_token(token, hash);
    int found =
        db_enrolment_use(manager->db, &(struct db_enrolment){host, hash, certificate}, clock_wall_ms(), err);
    if (found < 0)
        return -1;
    return found ? 0 : auth_enrolment_refuse(err);
}
