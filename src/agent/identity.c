/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/identity.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fdio.h"
#include "http/http.h"
#include "model/move.h"

#define BYTES_MAX (256 * 1024)
#define FILE_NAME "identity.json"

/* What earlier versions wrote instead, a file for each part. */
static const char *const old_files[] = {"agent.crt", "agent.key", "ca.crt"};

static char *tls_path(const struct agent_config *config, const char *file)
{
    return g_strdup_printf("%s/tls/%s", config->state_dir, file);
}

static int fill(const struct identity_text *text, struct identity *identity, struct err *err)
{
    identity->manager_url = g_strdup(text->manager_url);
    if (http_cert_load(text->certificate, text->key, &identity->own, err) < 0 ||
        http_cert_load(text->ca, NULL, &identity->ca, err) < 0)
        return -1;
    return http_cert_life(identity->own, &identity->from_s, &identity->until_s, err);
}

static int load_old(const struct agent_config *config, struct identity *identity, struct err *err)
{
    char *parts[G_N_ELEMENTS(old_files)] = {NULL};
    int result = 0;
    for (size_t i = 0; i < G_N_ELEMENTS(old_files) && result == 0; i++) {
        g_autofree char *path = tls_path(config, old_files[i]);
        result = fdio_read_file(path, BYTES_MAX, &parts[i], err);
    }
    if (result == 0)
        result = fill(&(struct identity_text){"", parts[0], parts[1], parts[2]}, identity, err);
    for (size_t i = 0; i < G_N_ELEMENTS(old_files); i++)
        free(parts[i]);
    return result;
}

static int load_new(const char *path, struct identity *identity, struct err *err)
{
    auto_mem char *text = NULL;
    g_autoptr(JsonObject) object = NULL;
    if (fdio_read_file(path, BYTES_MAX, &text, err) < 0 || model_parse(text, -1, &object, err) < 0)
        return -1;
    const struct identity_text parts = {
        model_text(object, "manager"),
        model_text(object, "certificate"),
        model_text(object, "key"),
        model_text(object, "ca"),
    };
    return fill(&parts, identity, err);
}

int identity_load(const struct agent_config *config, struct identity *ret_identity, struct err *err)
{
    g_autofree char *path = tls_path(config, FILE_NAME);
    struct err why = {0};
    *ret_identity = (struct identity){0};
    int result = load_new(path, ret_identity, &why);
    if (result < 0 && why.code == ERR_NOT_FOUND)
        result = load_old(config, ret_identity, &why);
    if (result == 0)
        return 0;
    if (why.code == ERR_NOT_FOUND) {
        (void)err_set(&why, ERR_NOT_FOUND, "not-enrolled", "host %s is not enrolled", config->name);
        (void)err_arg(&why, "host", "%s", config->name);
        (void)err_fix(&why, "godwit-agent enroll --manager https://ADDRESS:PORT --token TOKEN");
    } else {
        (void)err_prefix(&why, "%s", path);
        (void)err_fix(&why, "enrol the host again: 'godwit host enroll %s' at the manager prints how",
                      config->name);
    }
    if (err)
        *err = why;
    return -1;
}

void identity_clear(struct identity *identity)
{
    g_clear_pointer(&identity->manager_url, g_free);
    g_clear_object(&identity->own);
    g_clear_object(&identity->ca);
}

int identity_store(const struct agent_config *config, const struct identity_text *text, struct err *err)
{
    struct identity usable = {0};
    int result = fill(text, &usable, err);
    identity_clear(&usable);
    if (result < 0)
        return err_prefix(err, "the manager's answer is unusable");
    g_autofree char *folder = tls_path(config, "");
    g_autofree char *path = tls_path(config, FILE_NAME);
    if (g_mkdir_with_parents(folder, 0700) < 0) {
        (void)err_sys(err, errno, "folder-failed", "cannot make the folder %s", folder);
        return err_arg(err, "path", "%s", folder);
    }
    g_autoptr(JsonObject) object = json_object_new();
    json_object_set_string_member(object, "manager", text->manager_url);
    json_object_set_string_member(object, "certificate", text->certificate);
    json_object_set_string_member(object, "key", text->key);
    json_object_set_string_member(object, "ca", text->ca);
    g_autofree char *document = model_print(object, true);
    if (fdio_replace_file(path, document, strlen(document), 0600, err) < 0)
        return -1;
    for (size_t i = 0; i < G_N_ELEMENTS(old_files); i++) {
        g_autofree char *old = tls_path(config, old_files[i]);
        if (unlink(old) < 0 && errno != ENOENT) {
            (void)err_sys(err, errno, "unlink-failed", "cannot remove the old %s", old);
            return err_arg(err, "path", "%s", old);
        }
    }
    return 0;
}
