/* SPDX-License-Identifier: Apache-2.0 */
#include "http/connections.h"

#include <errno.h>
#include <stdbool.h>
#include <sys/socket.h>

/* An ended connection is closed at the second look: by then the library has seen its end too, and waits for
 * nothing of the descriptor. */
#define LOOK_S 2

/* Held by the list and by each request under way. */
struct connection {
    GSocket *socket;
    unsigned n_signals; /* by which requests under way would say that they are over; each holds it */
    bool has_ended;     /* at the last look */
};

/* Name of the data of a socket that is its connection. */
#define CONNECTION "connection"

static void connection_free(gpointer data)
{
    struct connection *connection = data;
    g_object_unref(connection->socket);
}

static void release(struct connection *connection)
{
    g_rc_box_release_full(connection, connection_free);
}

static bool is_at_end(GSocket *socket)
{
    char byte;
    ssize_t got = recv(g_socket_get_fd(socket), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR);
}

/* True if there is nothing to look at any more. */
static bool look_at(struct connection *connection)
{
    if (g_socket_is_closed(connection->socket))
        return true;
    bool had_ended = connection->has_ended;
    connection->has_ended = !connection->n_signals && is_at_end(connection->socket);
    if (!had_ended || !connection->has_ended)
        return false;
    (void)g_socket_close(connection->socket, NULL);
    return true;
}

static void forget(struct connection *connection)
{
    g_object_set_data(G_OBJECT(connection->socket), CONNECTION, NULL);
    release(connection);
}

static gboolean look(gpointer user)
{
    struct connections *connections = user;
    for (GList *link = connections->open.head, *next; link; link = next) {
        next = link->next;
        if (!look_at(link->data))
            continue;
        forget(link->data);
        g_queue_delete_link(&connections->open, link);
    }
    if (!g_queue_is_empty(&connections->open))
        return G_SOURCE_CONTINUE;
    connections->look_source = 0;
    return G_SOURCE_REMOVE;
}

/* A request is over with the first of them. */
static void on_over(SoupServerMessage *msg, struct connection *connection)
{
    (void)g_signal_handlers_disconnect_by_func(msg, (gpointer)on_over, connection);
}

/* Also of a message that goes without a signal, with the server. */
static void on_disconnected(gpointer user, GClosure *closure)
{
    struct connection *connection = user;
    (void)closure;
    connection->n_signals--;
    release(connection);
}

static void watch(SoupServerMessage *msg, const char *name, struct connection *connection)
{
    connection->n_signals++;
    (void)g_signal_connect_data(msg, name, G_CALLBACK(on_over), g_rc_box_acquire(connection), on_disconnected,
                                0);
}

void connections_note(struct connections *connections, SoupServerMessage *msg)
{
    GSocket *socket = soup_server_message_get_socket(msg);
    struct connection *connection = g_object_get_data(G_OBJECT(socket), CONNECTION);
    if (!connection) {
        connection = g_rc_box_new0(struct connection);
        connection->socket = g_object_ref(socket);
        g_object_set_data(G_OBJECT(socket), CONNECTION, connection);
        g_queue_push_tail(&connections->open, connection);
    }
    watch(msg, "finished", connection);
    watch(msg, "disconnected", connection);
    if (!connections->look_source)
        connections->look_source = g_timeout_add_seconds(LOOK_S, look, connections);
}

void connections_clear(struct connections *connections)
{
    struct connection *connection;
    while ((connection = g_queue_pop_head(&connections->open)))
        forget(connection);
    if (connections->look_source)
        (void)g_source_remove(connections->look_source);
    connections->look_source = 0;
}
