/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS handshakes. GLib makes each on a thread of its only pool, which has ten and gets more slowly: a client
 * that stops in the middle holds one, and this process makes its own connections with the same. So only some
 * run at once, fewer from one place, and none begins before the client has said something.
 */
#include <string.h>

#include "base/descriptors.h"
#include "http/connections.h"

#define HANDSHAKES_MAX 6
#define HANDSHAKES_PER_PLACE_MAX 3

static unsigned n_shaking_at(const struct connections *connections, const uint8_t place[PLACE_SIZE])
{
    unsigned n = 0;
    for (const GList *link = connections->open.head; link; link = link->next) {
        const struct connection *connection = link->data;
        n += connection->stage == SHAKING && !memcmp(connection->place, place, PLACE_SIZE);
    }
    return n;
}

/* Who it is, is decided for each request (access.c). */
static gboolean on_certificate(GTlsConnection *tls, GTlsCertificate *certificate, GTlsCertificateFlags errors,
                               gpointer user)
{
    (void)tls, (void)certificate, (void)errors, (void)user;
    return TRUE;
}

static GIOStream *tls_new(const struct connection *connection)
{
    static const char *const protocols[] = {"http/1.1", "http/1.0", NULL};
    g_autoptr(GSocketConnection) base = g_socket_connection_factory_create_connection(connection->socket);
    GTlsAuthenticationMode mode = connection->connections->asks_certificate ? G_TLS_AUTHENTICATION_REQUESTED
                                                                            : G_TLS_AUTHENTICATION_NONE;
    /* No database: the system's authorities say nothing here. */
    GIOStream *tls = g_initable_new(g_tls_backend_get_server_connection_type(g_tls_backend_get_default()),
                                    NULL, NULL, "base-io-stream", base, "certificate",
                                    connection->certificate, "database", NULL, "authentication-mode", mode,
                                    "require-close-notify", FALSE, "advertised-protocols", protocols, NULL);
    if (tls)
        (void)g_signal_connect(tls, "accept-certificate", G_CALLBACK(on_certificate), NULL);
    return tls;
}

static void go_on(struct connections *connections);

static void on_shaken(GObject *source, GAsyncResult *result, gpointer user)
{
    struct connection *connection = user;
    struct connections *connections = connection->connections;
    GTlsConnection *tls = G_TLS_CONNECTION(source);
    bool is_done = g_tls_connection_handshake_finish(tls, result, NULL);
    g_clear_object(&connection->cancel);
    if (connections) {
        connections->n_handshakes--;
        if (is_done && !connection->is_cut) {
            g_set_object(&connection->shown, g_tls_connection_get_peer_certificate(tls));
            connection_hand_over(connection, G_IO_STREAM(tls));
        } else {
            connection_drop(connection);
        }
        go_on(connections);
    }
    connection_release(connection);
}

static void begin(struct connection *connection)
{
    g_autoptr(GIOStream) tls = descriptors_are_left() ? tls_new(connection) : NULL;
    if (!tls) {
        connection_drop(connection);
        return;
    }
    connection_set_stage(connection, SHAKING);
    connection->connections->n_handshakes++;
    connection->cancel = g_cancellable_new();
    g_tls_connection_handshake_async(G_TLS_CONNECTION(tls), G_PRIORITY_DEFAULT, connection->cancel, on_shaken,
                                     g_rc_box_acquire(connection));
}

static void go_on(struct connections *connections)
{
    for (GList *link = connections->open.head, *next; link && connections->n_handshakes < HANDSHAKES_MAX;
         link = next) {
        struct connection *connection = link->data;
        next = link->next;
        if (connection->stage == QUEUED &&
            n_shaking_at(connections, connection->place) < HANDSHAKES_PER_PLACE_MAX)
            begin(connection);
    }
}

static gboolean on_hello(GSocket *socket, GIOCondition condition, gpointer user)
{
    (void)socket, (void)condition;
    struct connection *connection = user;
    g_clear_pointer(&connection->hello, g_source_unref);
    if (connection_is_at_end(connection)) {
        connection_drop(connection);
    } else {
        connection_set_stage(connection, QUEUED);
        go_on(connection->connections);
    }
    return G_SOURCE_REMOVE;
}

void handshake_await(struct connection *connection)
{
    connection->hello = g_socket_create_source(connection->socket, G_IO_IN, NULL);
    g_source_set_callback(connection->hello, G_SOURCE_FUNC(on_hello), connection, NULL);
    (void)g_source_attach(connection->hello, NULL);
}
