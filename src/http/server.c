/* SPDX-License-Identifier: Apache-2.0 */
#include "http/server.h"

#include "http/tls.h"

int http_server_new(const struct http_server_config *config, struct http_server **ret_server, struct err *err)
{
    tls_init();
    /* raw-paths: a %2F inside a segment must not become a separator before the path is split. */
    SoupServer *soup = soup_server_new("raw-paths", TRUE, NULL);
    if (!soup)
        return err_set(err, ERR_INTERNAL, "http-server-failed", "cannot make an HTTP server");
    struct http_server *server = g_new0(struct http_server, 1);
    server->soup = soup;
    server->config = *config;
    g_queue_init(&server->requests);
    g_queue_init(&server->streams);
    server->unix_sockets = g_array_new(FALSE, FALSE, sizeof(struct unix_socket));
    server->listeners = g_ptr_array_new_with_free_func(listener_free);
    if (config->certificate)
        g_object_ref(config->certificate);
    if (config->client_ca)
        g_object_ref(config->client_ca);
    connections_init(&server->connections, soup, config->client_ca != NULL);
    dispatch_attach(server);
    *ret_server = server;
    return 0;
}

void http_server_set_certificate(struct http_server *server, GTlsCertificate *certificate)
{
    g_set_object(&server->config.certificate, certificate);
}

void http_server_set_client_ca(struct http_server *server, GTlsCertificate *ca)
{
    g_set_object(&server->config.client_ca, ca);
}

void http_server_free(struct http_server *server)
{
    if (!server)
        return;
    g_ptr_array_unref(server->listeners);
    soup_server_disconnect(server->soup);
    for (guint i = 0; i < server->unix_sockets->len; i++)
        unix_socket_clear(&g_array_index(server->unix_sockets, struct unix_socket, i));
    g_array_unref(server->unix_sockets);
    struct http_stream *stream;
    while ((stream = g_queue_pop_head(&server->streams)))
        stream_abandon(stream);
    /* Their handlers may still answer; the answers go nowhere. */
    struct http_request *request;
    while ((request = g_queue_pop_head(&server->requests))) {
        request->server = NULL;
        request->gone = true;
    }
    connections_clear(&server->connections);
    g_object_unref(server->soup);
    g_clear_object(&server->config.certificate);
    g_clear_object(&server->config.client_ca);
    g_free(server);
}
