/* SPDX-License-Identifier: Apache-2.0 */
#include "manager/ca.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fdio.h"
#include "http/http.h"

#define PEM_MAX 65536
#define OWN_HOURS (397 * 24)

static int read_pem(const char *path, char **ret_text, struct err *err)
{
    char *text;
    if (fdio_read_file(path, PEM_MAX, &text, err))
        return -1;
    *ret_text = g_strdup(text);
    free(text);
    return 0;
}

static int write_pem(const char *path, const char *text, struct err *err)
{
    return fdio_replace_file(path, text, strlen(text), 0600, err);
}

/* The key is written first: a certificate without a key would never be replaced. */
static int open_ca(struct authority *authority, const char *state_dir, struct err *err)
{
    g_autofree char *cert_path = g_build_filename(state_dir, "ca.crt", NULL);
    g_autofree char *key_path = g_build_filename(state_dir, "ca.key", NULL);
    if (access(cert_path, F_OK)) {
        if (http_ca_new("godwit CA", &authority->ca_cert, &authority->ca_key, err) ||
            write_pem(key_path, authority->ca_key, err) || write_pem(cert_path, authority->ca_cert, err))
            return err_prefix(err, "making the certificate authority");
    } else if (read_pem(cert_path, &authority->ca_cert, err) || read_pem(key_path, &authority->ca_key, err)) {
        return err_prefix(err, "reading the certificate authority");
    }
    if (http_cert_fingerprint(authority->ca_cert, authority->fingerprint, err))
        return -1;
    return http_cert_load(authority->ca_cert, NULL, &authority->ca, err);
}

int authority_issue_own(struct authority *authority, const struct manager_config *config, struct err *err)
{
    g_autofree char *csr = NULL;
    g_autofree char *key = NULL;
    g_autofree char *leaf = NULL;
    g_autofree char *cert_path = g_build_filename(config->state_dir, "manager.crt", NULL);
    g_autofree char *key_path = g_build_filename(config->state_dir, "manager.key", NULL);
    if (http_csr_new(MANAGER_NAME, &csr, &key, err) ||
        http_csr_sign(
            csr, &(struct http_identity){MANAGER_NAME, (const char *const *)config->addresses, OWN_HOURS},
            &(struct http_authority){authority->ca_cert, authority->ca_key}, &leaf, err))
        return err_prefix(err, "making the manager's certificate");
    /* With the CA behind it, so that enrolling hosts can compare the CA's fingerprint. */
    g_autofree char *chain = g_strconcat(leaf, authority->ca_cert, NULL);
    GTlsCertificate *own;
    if (write_pem(key_path, key, err) || write_pem(cert_path, chain, err) ||
        http_cert_load(chain, key, &own, err))
        return err_prefix(err, "storing the manager's certificate");
    g_clear_object(&authority->own);
    authority->own = own;
    return 0;
}

int authority_open(const struct manager_config *config, struct authority **ret_authority, struct err *err)
{
    struct authority *authority = g_new0(struct authority, 1);
    if (open_ca(authority, config->state_dir, err) || authority_issue_own(authority, config, err)) {
        authority_free(authority);
        return -1;
    }
    *ret_authority = authority;
    return 0;
}

int authority_sign_host(const struct authority *authority, const char *csr,
                        const struct http_identity *identity, char **ret_cert, struct err *err)
{
    g_autofree char *leaf = NULL;
    if (http_csr_sign(csr, identity, &(struct http_authority){authority->ca_cert, authority->ca_key}, &leaf,
                      err))
        return -1;
    *ret_cert = g_strconcat(leaf, authority->ca_cert, NULL);
    return 0;
}

void authority_free(struct authority *authority)
{
    if (!authority)
        return;
    g_clear_object(&authority->ca);
    g_clear_object(&authority->own);
    g_free(authority->ca_cert);
    g_free(authority->ca_key);
    g_free(authority);
}
