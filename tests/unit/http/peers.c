/* SPDX-License-Identifier: Apache-2.0 */
#include "peers.h"

#include <gio/gunixsocketaddress.h>
#include <glib/gstdio.h>
#include <string.h>

static void must(int result, const struct err *err)
{
    if (result)
        g_error("%s: %s (%s)", err->id, err->message, err->cause);
}

void authority_init(struct authority *authority, const char *name)
{
    struct err err;
    must(http_ca_new(name, &authority->cert_pem, &authority->key_pem, &err), &err);
    must(http_cert_load(authority->cert_pem, NULL, &authority->certificate, &err), &err);
}

void authority_clear(struct authority *authority)
{
    g_object_unref(authority->certificate);
    g_free(authority->cert_pem);
    g_free(authority->key_pem);
}

GTlsCertificate *authority_issue(const struct authority *authority, const char *common_name)
{
    const char *const addresses[] = {"127.0.0.1", "host.example", NULL};
    g_autofree char *csr = NULL, *key = NULL, *cert = NULL;
    GTlsCertificate *certificate;
    struct err err;
    must(http_csr_new(common_name, &csr, &key, &err), &err);
    must(http_csr_sign(csr, &(struct http_identity){common_name, addresses, 30},
                       &(struct http_authority){authority->cert_pem, authority->key_pem}, &cert, &err),
         &err);
    g_autofree char *chain = g_strconcat(cert, authority->cert_pem, NULL);
    must(http_cert_load(chain, key, &certificate, &err), &err);
    return certificate;
}

static char *authorize(const char *token, void *user)
{
    (void)user;
    return !strcmp(token, "good") ? g_strdup("alice") : NULL;
}

void peers_init(struct peers *peers, const struct http_route *routes, void *user)
{
    struct err err;
    authority_init(&peers->ca, "Cluster");
    g_autoptr(GTlsCertificate) certificate = authority_issue(&peers->ca, "server");
    const struct http_server_config config = {.routes = routes,
                                              .user = user,
                                              .authorize = authorize,
                                              .certificate = certificate,
                                              .client_ca = peers->ca.certificate};
    must(http_server_new(&config, &peers->server, &err), &err);
    must(http_server_listen(peers->server, "127.0.0.1", 0, &peers->port, &err), &err);
    peers->base = g_strdup_printf("https://127.0.0.1:%u", peers->port);
    peers->directory = g_dir_make_tmp("test-http-XXXXXX", NULL);
    peers->socket_path = g_build_filename(peers->directory, "socket", NULL);
    must(http_server_listen_unix(peers->server, peers->socket_path, &err), &err);
    peers->unix_base = g_strconcat("unix:", peers->socket_path, NULL);
}

void peers_clear(struct peers *peers)
{
    http_server_free(peers->server);
    while (g_main_context_iteration(NULL, FALSE))
        ;                                 /* what the library closes in the background */
    g_assert(!g_rmdir(peers->directory)); /* the socket is gone */
    authority_clear(&peers->ca);
    g_free(peers->base);
    g_free(peers->directory);
    g_free(peers->socket_path);
    g_free(peers->unix_base);
}

struct http_client *peers_client(const struct peers *peers, const char *base)
{
    const struct http_client_config config = {.base = base, .token = "good", .ca = peers->ca.certificate};
    struct http_client *client;
    struct err err;
    must(http_client_new(&config, &client, &err), &err);
    return client;
}

void answer_done(JsonObject *object, const struct err *err, void *user)
{
    struct answer *answer = user;
    g_assert(!answer->is_done);
    answer->object = object ? json_object_ref(object) : NULL;
    answer->err = *err;
    answer->is_done = true;
}

void wait_for(const bool *flag)
{
    while (!*flag)
        (void)g_main_context_iteration(NULL, TRUE);
}

void ask(struct http_client *client, const char *method, const char *path, JsonObject *body,
         struct answer *ret_answer)
{
    *ret_answer = (struct answer){0};
    http_client_call(client, &(struct http_call){method, path, body, 0, NULL}, answer_done, ret_answer);
    wait_for(&ret_answer->is_done);
}

void answer_clear(struct answer *answer)
{
    g_clear_pointer(&answer->object, json_object_unref);
}

struct raw {
    const char *path;
    const struct raw_request *request;
    char *text;
    bool is_done;
};

static gboolean raw_done(gpointer user)
{
    ((struct raw *)user)->is_done = true;
    return G_SOURCE_REMOVE;
}

static gpointer raw_run(gpointer user)
{
    struct raw *raw = user;
    GString *text = g_string_new(NULL);
    g_autoptr(GSocketAddress) address = g_unix_socket_address_new(raw->path);
    g_autoptr(GSocket) socket =
        g_socket_new(G_SOCKET_FAMILY_UNIX, G_SOCKET_TYPE_STREAM, G_SOCKET_PROTOCOL_DEFAULT, NULL);
    g_assert(g_socket_connect(socket, address, NULL, NULL));
    for (size_t sent = 0; sent < raw->request->size;) {
        gssize n = g_socket_send(socket, raw->request->bytes + sent, raw->request->size - sent, NULL, NULL);
        if (n <= 0)
            break; /* the server has cut us off */
        sent += (size_t)n;
    }
    if (raw->request->ends)
        (void)g_socket_shutdown(socket, FALSE, TRUE, NULL);
    char buffer[4096];
    gssize n;
    while ((n = g_socket_receive(socket, buffer, sizeof buffer, NULL, NULL)) > 0)
        (void)g_string_append_len(text, buffer, n);
    raw->text = g_string_free(text, FALSE);
    (void)g_idle_add(raw_done, raw);
    return NULL;
}

char *ask_raw_so(const struct peers *peers, const struct raw_request *request)
{
    struct raw raw = {.path = peers->socket_path, .request = request};
    GThread *thread = g_thread_new("raw", raw_run, &raw);
    wait_for(&raw.is_done);
    (void)g_thread_join(thread);
    return raw.text;
}

char *ask_raw(const struct peers *peers, const char *bytes, size_t size)
{
    return ask_raw_so(peers, &(struct raw_request){bytes, size, false});
}
