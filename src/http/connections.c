/* SPDX-License-Identifier: Apache-2.0 */
#include "http/connections.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>

/* libsoup 3.2 closes a connection that its client has closed only in the middle of a request; of an idle one
 * it forgets the socket, and each would cost a descriptor for good. It is closed here at the second look: by
 * then the library has seen its end too, and waits for nothing of the descriptor. */
#define TICK_S 2
#define N_TICKS(seconds) ((seconds) / TICK_S)

/* Of the descriptors that this process may have, the rest is for all else that it does. */
#define SHARE_OF_FILES 2
#define CONNECTIONS_MIN 64

/* Name of the data of a client's address that is its connection. */
#define CONNECTION "connection"

/* A client keeps an idle connection for 60 s (http/client.c). */
static const struct {
    unsigned stranger, known; /* ticks; 0: no limit */
} patience[] = {
    [SILENT] = {N_TICKS(10), N_TICKS(10)},
    [QUEUED] = {N_TICKS(30), N_TICKS(30)},
    [SHAKING] = {N_TICKS(10), N_TICKS(10)},
    [ASKING] = {N_TICKS(30), N_TICKS(30)},
    [SERVED] = {N_TICKS(60), 0},
    [IDLE] = {N_TICKS(30), N_TICKS(120)},
};
/* While others wait for their turn. */
#define PATIENCE_SHAKING_MIN N_TICKS(6)

static void connection_free(gpointer data)
{
    struct connection *connection = data;
    g_object_unref(connection->socket);
    g_clear_object(&connection->remote);
    g_clear_object(&connection->certificate);
    g_clear_object(&connection->shown);
    g_clear_object(&connection->cancel);
}

void connection_release(struct connection *connection)
{
    g_rc_box_release_full(connection, connection_free);
}

void connection_set_stage(struct connection *connection, enum connection_stage stage)
{
    connection->stage = stage;
    connection->n_ticks = 0;
}

bool connection_is_at_end(const struct connection *connection)
{
    char byte;
    ssize_t got = recv(g_socket_get_fd(connection->socket), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR);
}

static void leave(struct connection *connection)
{
    if (connection->hello)
        g_source_destroy(connection->hello);
    g_clear_pointer(&connection->hello, g_source_unref);
    (void)g_queue_remove(&connection->connections->open, connection);
    connection->connections = NULL;
    connection_release(connection);
}

void connection_drop(struct connection *connection)
{
    (void)g_socket_close(connection->socket, NULL);
    leave(connection);
}

static gboolean close_idle(gpointer user)
{
    struct connection *connection = user;
    if (!connection->n_signals)
        (void)g_socket_close(connection->socket, NULL);
    return G_SOURCE_REMOVE;
}

static void release_data(gpointer user)
{
    connection_release(user);
}

/* Those that the library or a thread still looks at are only shut down: that is how they learn of it. */
static void cut(struct connection *connection)
{
    if (connection->stage == SILENT || connection->stage == QUEUED) {
        connection_drop(connection);
        return;
    }
    connection->is_cut = true;
    if (connection->cancel)
        g_cancellable_cancel(connection->cancel);
    (void)g_socket_shutdown(connection->socket, TRUE, TRUE, NULL);
    /* After the library has looked. */
    if (connection->stage == IDLE)
        (void)g_idle_add_full(G_PRIORITY_LOW, close_idle, g_rc_box_acquire(connection), release_data);
}

static bool is_queue(const struct connections *connections)
{
    for (const GList *link = connections->open.head; link; link = link->next)
        if (((const struct connection *)link->data)->stage == QUEUED)
            return true;
    return false;
}

static bool is_overdue(const struct connection *connection, bool others_wait)
{
    unsigned most =
        connection->is_known ? patience[connection->stage].known : patience[connection->stage].stranger;
    if (connection->stage == SHAKING && others_wait)
        most = PATIENCE_SHAKING_MIN;
    return most && connection->n_ticks >= most;
}

/* One that the library has. True if there is nothing to look at any more. */
static bool is_over(struct connection *connection)
{
    if (g_socket_is_closed(connection->socket))
        return true;
    bool had_ended = connection->has_ended;
    connection->has_ended = !connection->n_signals && connection_is_at_end(connection);
    if (!had_ended || !connection->has_ended)
        return false;
    (void)g_socket_close(connection->socket, NULL);
    return true;
}

static gboolean tick(gpointer user)
{
    struct connections *connections = user;
    bool others_wait = is_queue(connections);
    for (GList *link = connections->open.head, *next; link; link = next) {
        struct connection *connection = link->data;
        next = link->next;
        connection->n_ticks++;
        if (connection->stage >= ASKING && is_over(connection))
            leave(connection);
        else if (!connection->is_cut && is_overdue(connection, others_wait))
            cut(connection);
    }
    if (!g_queue_is_empty(&connections->open))
        return G_SOURCE_CONTINUE;
    connections->tick_source = 0;
    return G_SOURCE_REMOVE;
}

void connections_init(struct connections *connections, SoupServer *soup, bool asks_certificate)
{
    struct rlimit files;
    connections->soup = soup;
    connections->asks_certificate = asks_certificate;
    g_queue_init(&connections->open);
    connections->n_max = CONNECTIONS_MIN;
    if (!getrlimit(RLIMIT_NOFILE, &files))
        connections->n_max = (unsigned)CLAMP(files.rlim_cur / SHARE_OF_FILES, CONNECTIONS_MIN, G_MAXUINT / 2);
}

void connections_clear(struct connections *connections)
{
    struct connection *connection;
    while ((connection = g_queue_peek_head(&connections->open))) {
        if (connection->stage <= QUEUED) {
            connection_drop(connection);
            continue;
        }
        if (connection->stage == SHAKING)
            cut(connection);
        leave(connection);
    }
    if (connections->tick_source)
        (void)g_source_remove(connections->tick_source);
    connections->tick_source = 0;
}

/* ---- room for one more ---- */

static bool is_from(const struct connection *connection, const struct connection *newcomer)
{
    return connection->has_place == newcomer->has_place &&
           !memcmp(connection->place, newcomer->place, PLACE_SIZE);
}

/* How well it may be cut for a newcomer: 0 not at all. A handshake that was begun has a chance to end. */
static unsigned dispensability(const struct connection *connection)
{
    if (connection->is_cut)
        return 0;
    if (connection->stage == SILENT)
        return 3;
    if (!connection->is_known)
        return connection->stage >= ASKING ? 2 : 0;
    return connection->stage == IDLE ? 1 : 0;
}

struct crowd {
    unsigned n;
    struct connection *most_dispensable; /* the oldest of those; NULL: none */
};

static void crowd_add(struct crowd *crowd, struct connection *connection)
{
    unsigned best = crowd->most_dispensable ? dispensability(crowd->most_dispensable) : 0;
    crowd->n++;
    if (dispensability(connection) > best)
        crowd->most_dispensable = connection;
}

static bool cut_one_of(const struct crowd *crowd)
{
    if (crowd->most_dispensable)
        cut(crowd->most_dispensable);
    return crowd->most_dispensable != NULL;
}

static bool make_room(struct connections *connections, const struct connection *newcomer)
{
    struct crowd all = {0}, strangers = {0}, neighbours = {0};
    for (GList *link = connections->open.head; link; link = link->next) {
        struct connection *connection = link->data;
        if (connection->is_cut)
            continue;
        crowd_add(&all, connection);
        if (connection->is_known)
            continue;
        crowd_add(&strangers, connection);
        if (is_from(connection, newcomer))
            crowd_add(&neighbours, connection);
    }
    if (!newcomer->is_known && neighbours.n >= STRANGERS_PER_PLACE_MAX)
        return cut_one_of(&neighbours);
    if (!newcomer->is_known && strangers.n >= STRANGERS_MAX)
        return cut_one_of(&strangers);
    return all.n < connections->n_max || cut_one_of(&all);
}

void connections_take(struct connections *connections, GSocket *socket, GTlsCertificate *certificate)
{
    g_autoptr(GSocketAddress) remote = g_socket_get_remote_address(socket, NULL);
    if (!remote)
        return; /* gone already */
    struct connection *connection = g_rc_box_new0(struct connection);
    connection->socket = g_object_ref(socket);
    connection->remote = g_object_ref(remote);
    connection->certificate = certificate ? g_object_ref(certificate) : NULL;
    connection->has_place = place_of(remote, connection->place);
    connection->is_known = !certificate; /* only root may open the unix socket */
    if (!make_room(connections, connection)) {
        (void)g_socket_close(socket, NULL);
        connection_release(connection);
        return;
    }
    connection->connections = connections;
    g_queue_push_tail(&connections->open, connection);
    if (!connections->tick_source)
        connections->tick_source = g_timeout_add_seconds(TICK_S, tick, connections);
    if (certificate) {
        (void)g_socket_set_option(socket, IPPROTO_TCP, TCP_NODELAY, TRUE, NULL);
        handshake_await(connection);
        return;
    }
    g_autoptr(GSocketConnection) stream = g_socket_connection_factory_create_connection(socket);
    connection_hand_over(connection, G_IO_STREAM(stream));
}

/* ---- requests ---- */

void connection_hand_over(struct connection *connection, GIOStream *stream)
{
    g_autoptr(GSocketAddress) local = g_socket_get_local_address(connection->socket, NULL);
    g_autoptr(GSocketAddress) remote = g_steal_pointer(&connection->remote);
    connection_set_stage(connection, ASKING);
    if (!local) {
        connection_drop(connection);
        return;
    }
    g_object_set_data_full(G_OBJECT(remote), CONNECTION, g_rc_box_acquire(connection), release_data);
    (void)soup_server_accept_iostream(connection->connections->soup, stream, local, remote, NULL);
}

struct connection *connection_of(SoupServerMessage *msg)
{
    return g_object_get_data(G_OBJECT(soup_server_message_get_remote_address(msg)), CONNECTION);
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
    if (!--connection->n_signals)
        connection_set_stage(connection, IDLE);
    connection_release(connection);
}

static void watch(SoupServerMessage *msg, const char *name, struct connection *connection)
{
    connection->n_signals++;
    (void)g_signal_connect_data(msg, name, G_CALLBACK(on_over), g_rc_box_acquire(connection), on_disconnected,
                                0);
}

void connection_asks(SoupServerMessage *msg)
{
    struct connection *connection = connection_of(msg);
    connection_set_stage(connection, ASKING);
    watch(msg, "finished", connection);
    watch(msg, "disconnected", connection);
}

void connection_is_served(SoupServerMessage *msg)
{
    connection_set_stage(connection_of(msg), SERVED);
}
