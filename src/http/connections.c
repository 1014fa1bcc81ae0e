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
    unsigned n_requests; /* under way */
    bool has_ended;      /* at the last look */
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
    connection->has_ended = !connection->n_requests && is_at_end(connection->socket);
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

static void on_over(SoupServerMessage *msg, struct connection *connection)
{
    (void)g_signal_handlers_disconnect_by_func(msg, (gpointer)on_over, connection);
    connection->n_requests--;
    release(connection);
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
    connection->n_requests++;
    (void)g_rc_box_acquire(connection);
    (void)g_signal_connect(msg, "finished", G_CALLBACK(on_over), connection);
    (void)g_signal_connect(msg, "disconnected", G_CALLBACK(on_over), connection);
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
