/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/enroll.h"

#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/fdio.h"
#include "http/http.h"

#define TOKEN_VERSION "gwe1"
#define TOKEN_PARTS 4
#define FINGERPRINT_LENGTH 64
#define ANSWER_S 30
#define PEM_BYTES_MAX 65536

static char *tls_path(const struct agent_config *config, const char *file)
{
    return g_strdup_printf("%s/tls/%s", config->state_dir, file);
}

static int write_file(const struct agent_config *config, const char *file, const char *text, struct err *err)
{
    g_autofree char *path = tls_path(config, file);
    return fdio_replace_file(path, text, strlen(text), 0600, err);
}

static int read_file(const struct agent_config *config, const char *file, char **ret_text, struct err *err)
{
    g_autofree char *path = tls_path(config, file);
    return fdio_read_file(path, PEM_BYTES_MAX, ret_text, err);
}

/* The parts of a token; g_strfreev. */
static char **split_token(const char *token, struct err *err)
{
    g_auto(GStrv) parts = g_strsplit(token, ".", -1);
    unsigned n = g_strv_length(parts);
    /* A host's name may hold dots: the first and the last two parts are fixed. */
    if (n >= TOKEN_PARTS && !strcmp(parts[0], TOKEN_VERSION) && strlen(parts[n - 1]) == FINGERPRINT_LENGTH)
        return g_steal_pointer(&parts);
    (void)err_set(err, ERR_BAD_REQUEST, "bad-token", "this is not an enrolment token");
    (void)err_fix(err, "copy the whole token that 'godwit host add' printed; it begins with 'gwe1.'");
    return NULL;
}

static int keep_answer(const struct agent_config *config, JsonObject *answer, const char *key_pem,
                       struct err *err)
{
    const char *certificate = json_object_get_string_member_with_default(answer, "certificate", "");
    const char *ca = json_object_get_string_member_with_default(answer, "ca", "");
    g_autoptr(GTlsCertificate) own = NULL;
    g_autoptr(GTlsCertificate) issuer = NULL;
    if (http_cert_load(certificate, key_pem, &own, err) < 0 || http_cert_load(ca, NULL, &issuer, err) < 0)
        return err_prefix(err, "the manager's answer is unusable");
    g_autofree char *folder = tls_path(config, "");
    if (g_mkdir_with_parents(folder, 0700) < 0)
        return err_sys(err, errno, "folder-failed", "cannot make the folder %s", folder);
    if (write_file(config, "agent.key", key_pem, err) < 0 || write_file(config, "ca.crt", ca, err) < 0)
        return -1;
    return write_file(config, "agent.crt", certificate, err);
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
    if (!answer)
        return err_set(err, ERR_INTERNAL, "empty-answer", "manager %s gave an empty answer", manager_url);
    const char *name = json_object_get_string_member_with_default(answer, "name", "");
    if (strcmp(name, config->name) != 0) {
        (void)err_set(err, ERR_REFUSED, "name-differs",
                      "the token is for host '%s' and this host's name is '%s'", name, config->name);
        return err_fix(err, "set name=%s in the agent's configuration, or use this host's own token", name);
    }
    return keep_answer(config, answer, key, err);
}

int enroll_load(const struct agent_config *config, GTlsCertificate **ret_own, GTlsCertificate **ret_ca,
                struct err *err)
{
    auto_mem char *certificate = NULL;
    auto_mem char *key = NULL;
    auto_mem char *ca = NULL;
    if (read_file(config, "agent.crt", &certificate, err) < 0 ||
        read_file(config, "agent.key", &key, err) < 0 || read_file(config, "ca.crt", &ca, err) < 0) {
        if (err && err->code == ERR_NOT_FOUND) {
            (void)err_set(err, ERR_NOT_FOUND, "not-enrolled", "host %s is not enrolled", config->name);
            (void)err_fix(err, "godwit-agent enroll --manager https://ADDRESS:PORT --token TOKEN");
        }
        return -1;
    }
    g_autoptr(GTlsCertificate) own = NULL;
    if (http_cert_load(certificate, key, &own, err) < 0 || http_cert_load(ca, NULL, ret_ca, err) < 0)
        return err_prefix(err, "%s/tls", config->state_dir);
    *ret_own = g_steal_pointer(&own);
    return 0;
}
