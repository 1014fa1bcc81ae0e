/* SPDX-License-Identifier: Apache-2.0 */
/* Where the manager is and how to speak to it. */
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"

#define LAB_SETTINGS "/run/godwit-lab/cli.conf"

static char *config_path(void)
{
    const char *named = g_getenv("GODWIT_CONFIG");
    if (named)
        return g_strdup(named);
    char *candidates[] = {g_build_filename(g_get_user_config_dir(), "godwit", "config", NULL),
                          g_strdup("/etc/godwit/cli.conf"), g_strdup(LAB_SETTINGS)};
    char *found = NULL;
    for (size_t i = 0; i < G_N_ELEMENTS(candidates); i++) {
        if (!found && access(candidates[i], R_OK) == 0)
            found = candidates[i];
        else
            g_free(candidates[i]);
    }
    return found;
}

static int load_ca(const char *path, GTlsCertificate **ret_ca, struct err *err)
{
    g_autofree char *pem = NULL;
    g_autoptr(GError) error = NULL;
    if (!g_file_get_contents(path, &pem, NULL, &error)) {
        (void)err_set(err, ERR_BAD_REQUEST, "ca-unreadable", "cannot read the CA certificate %s", path);
        return err_cause(err, "%s", error->message);
    }
    return http_cert_load(pem, NULL, ret_ca, err);
}

static int connect_with(const char *server, const char *token, const char *ca_path,
                        struct http_client **ret_client, struct err *err)
{
    g_autoptr(GTlsCertificate) ca = NULL;
    bool local = g_str_has_prefix(server, "unix:");
    if (!local && !g_str_has_prefix(server, "https://")) {
        (void)err_set(err, ERR_BAD_REQUEST, "bad-server",
                      "the server must be unix:/PATH or https://HOST:PORT, not '%s'", server);
        return err_fix(err, "set GODWIT_SERVER or 'server=' in the config file");
    }
    if (!local && !ca_path) {
        (void)err_set(err, ERR_BAD_REQUEST, "no-ca", "no CA certificate is configured for %s", server);
        return err_fix(err, "copy the manager's ca.crt here and set GODWIT_CA or 'ca=' in the config file");
    }
    if (!local && load_ca(ca_path, &ca, err) < 0)
        return -1;
    struct http_client_config config = {.base = server, .token = token, .ca = ca};
    return http_client_new(&config, ret_client, err);
}

int cli_connect_file(const char *path, struct http_client **ret_client, struct err *err)
{
    g_autoptr(GKeyFile) file = g_key_file_new();
    g_autoptr(GError) error = NULL;
    if (!g_key_file_load_from_file(file, path, G_KEY_FILE_NONE, &error)) {
        (void)err_set(err, ERR_BAD_REQUEST, "config-unreadable", "cannot read the config file %s", path);
        return err_cause(err, "%s", error->message);
    }
    g_autofree char *server = g_key_file_get_string(file, "manager", "server", NULL);
    g_autofree char *token = g_key_file_get_string(file, "manager", "token", NULL);
    g_autofree char *ca = g_key_file_get_string(file, "manager", "ca", NULL);
    const char *env_token = g_getenv("GODWIT_TOKEN");
    if (!server) {
        (void)err_set(err, ERR_BAD_REQUEST, "no-server", "%s has no 'server=' in its group [manager]", path);
        return -1;
    }
    return connect_with(server, env_token ? env_token : token, ca, ret_client, err);
}

int cli_connect(struct http_client **ret_client, struct err *err)
{
    const char *server = g_getenv("GODWIT_SERVER");
    if (server)
        return connect_with(server, g_getenv("GODWIT_TOKEN"), g_getenv("GODWIT_CA"), ret_client, err);
    g_autofree char *path = config_path();
    if (path)
        return cli_connect_file(path, ret_client, err);
    (void)err_set(err, ERR_BAD_REQUEST, "no-server", "no manager is configured");
    return err_fix(
        err, "set GODWIT_SERVER and GODWIT_TOKEN, or write ~/.config/godwit/config, or run 'godwit lab up'");
}
