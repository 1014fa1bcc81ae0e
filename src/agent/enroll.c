/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/enroll.h"

#include <string.h>

#include "agent/identity.h"
#include "http/http.h"
#include "model/move.h"

#define TOKEN_VERSION "gwe1"
#define TOKEN_PARTS 4
#define FINGERPRINT_LENGTH 64
#define ANSWER_S 30

/* The parts of a token; g_strfreev. */
static char **split_token(const char *token, struct err *err)
{
    g_auto(GStrv) parts = g_strsplit(token, ".", -1);
    unsigned n = g_strv_length(parts);
    /* A host's name may hold dots: the first and the last two parts are fixed. */
    if (n >= TOKEN_PARTS && !strcmp(parts[0], TOKEN_VERSION) && strlen(parts[n - 1]) == FINGERPRINT_LENGTH)
        return g_steal_pointer(&parts);
    (void)err_set(err, ERR_BAD_REQUEST, "bad-token", "this is not an enrolment token");
    (void)err_fix(err, "copy the whole token that 'godwit host add' or 'godwit host enroll' printed; it "
                       "begins with 'gwe1.'");
    return NULL;
}

int enroll(const struct agent_config *config, const char *manager_url, const char *token, struct err *err)
{
    g_auto(GStrv) parts = split_token(token, err);
    g_autofree char *csr = NULL;
    g_autofree char *key = NULL;
    g_autoptr(JsonObject) answer = NULL;
    struct http_client *client = NULL;
    if (!parts || http_csr_new(config->name, &csr, &key, err) < 0)
        return -1;
    const struct http_client_config client_config = {.base = manager_url,
                                                     .ca_fingerprint = parts[g_strv_length(parts) - 1]};
    if (http_client_new(&client_config, &client, err) < 0)
        return -1;
    JsonObject *body = json_object_new();
    json_object_set_string_member(body, "token", token);
    json_object_set_string_member(body, "csr", csr);
    int result = http_client_call_sync(client, &(struct http_call){"POST", "/v1/enroll", body, ANSWER_S},
                                       &answer, err);
    http_client_free(client);
    if (result < 0)
        return err_prefix(err, "manager %s", manager_url);
    if (!answer) {
        (void)err_set(err, ERR_INTERNAL, "empty-answer", "manager %s gave an empty answer", manager_url);
        return err_arg(err, "address", "%s", manager_url);
    }
    const char *name = model_text(answer, "name");
    if (strcmp(name, config->name) != 0) {
        (void)err_set(err, ERR_REFUSED, "name-differs",
                      "the token is for host '%s' and this host's name is '%s'", name, config->name);
        (void)err_arg(err, "name", "%s", name);
        (void)err_arg(err, "host", "%s", config->name);
        return err_fix(err, "set name=%s in the agent's configuration, or use this host's own token", name);
    }
    const struct identity_text text = {
        manager_url,
        model_text(answer, "certificate"),
        key,
        model_text(answer, "ca"),
    };
    return identity_store(config, &text, err);
}
