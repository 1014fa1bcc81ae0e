/* SPDX-License-Identifier: Apache-2.0 */
#include "http/connections.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "http/head.h"

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
    g_clear_object(&connection->certificate);
    g_clear_object(&connection->shown);
    g_clear_object(&connection->cancel);
    g_clear_object(&connection->stream);
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
    g_autoptr(GSocket) socket = g_object_ref(connection->socket);
    leave(connection);
    (void)g_socket_close(socket, NULL);
}

/* The library has no more of this request. If it closed, the memory need not wait for a tick. */
static void on_library_done(gpointer user)
{
    struct connection *connection = user;
    if (connection->connections && g_socket_is_closed(connection->socket))
        leave(connection);
    connection_release(connection);
}

/* Nobody else looks at it. */
static bool is_ours(const struct connection *connection)
{
    return connection->stage == SILENT || connection->stage == QUEUED || connection->stage == IDLE;
}

/* Those that the library or a thread still looks at are only shut down: that is how they learn of it. */
static void cut(struct connection *connection)
{
    if (is_ours(connection)) {
        connection_drop(connection);
        return;
    }
    connection->is_cut = true;
    if (connection->cancel)
        g_cancellable_cancel(connection->cancel);
    (void)g_socket_shutdown(connection->socket, TRUE, TRUE, NULL);
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

static gboolean tick(gpointer user)
{
    struct connections *connections = user;
    bool others_wait = is_queue(connections);
    for (GList *link = connections->open.head, *next; link; link = next) {
        struct connection *connection = link->data;
        next = link->next;
        connection->n_ticks++;
        if (g_socket_is_closed(connection->socket))
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
        if (is_ours(connection)) {
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

static void lend(struct connection *connection)
{
    g_autoptr(GSocketAddress) local = g_socket_get_local_address(connection->socket, NULL);
    g_autoptr(GSocketAddress) remote = g_socket_get_remote_address(connection->socket, NULL);
    if (!local || !remote) { /* it has just ended */
        connection_drop(connection);
        return;
    }
    connection_set_stage(connection, ASKING);
    head_stream_expect(connection->stream);
    g_object_set_data_full(G_OBJECT(remote), CONNECTION, g_rc_box_acquire(connection), on_library_done);
    (void)soup_server_accept_iostream(connection->connections->soup, connection->stream, local, remote, NULL);
}

void connection_hand_over(struct connection *connection, GIOStream *stream)
{
    connection->stream = head_stream_new(stream);
    lend(connection);
}

/* Of TLS it may be no more than the end: then the library finds it, and closes. */
static gboolean on_next(GObject *input, gpointer user)
{
    struct connection *connection = user;
    (void)input;
    g_clear_pointer(&connection->hello, g_source_unref);
    lend(connection);
    return G_SOURCE_REMOVE;
}

static void await_next(struct connection *connection)
{
    GInputStream *input = g_io_stream_get_input_stream(connection->stream);
    connection->hello = g_pollable_input_stream_create_source(G_POLLABLE_INPUT_STREAM(input), NULL);
    g_source_set_callback(connection->hello, G_SOURCE_FUNC(on_next), connection, NULL);
    (void)g_source_attach(connection->hello, NULL);
}

static bool is_readable(GIOStream *stream)
{
    return g_pollable_input_stream_is_readable(G_POLLABLE_INPUT_STREAM(g_io_stream_get_input_stream(stream)));
}

static bool asks_for_the_end(SoupServerMessage *msg)
{
    return soup_server_message_get_http_version(msg) == SOUP_HTTP_1_0 ||
           soup_message_headers_header_contains(soup_server_message_get_request_headers(msg), "Connection",
                                                "close") ||
           soup_message_headers_header_contains(soup_server_message_get_response_headers(msg), "Connection",
                                                "close");
}

/* The answer is written. What is not taken back, the library closes. */
static void on_answered(SoupServerMessage *msg, gpointer user)
{
    struct connection *connection = user;
    if (connection->stage != SERVED || connection->is_cut || !connection->connections ||
        asks_for_the_end(msg))
        return;
    g_autoptr(GIOStream) reader = soup_server_message_steal_connection(msg);
    connection_set_stage(connection, IDLE);
    /* A client that does not wait for the answer: the library has read its next request, or a part. */
    if (!reader || (is_readable(reader) && !is_readable(connection->stream)))
        connection_drop(connection);
    else
        await_next(connection);
}

struct connection *connection_of(SoupServerMessage *msg)
{
    return g_object_get_data(G_OBJECT(soup_server_message_get_remote_address(msg)), CONNECTION);
}

void connection_asks(SoupServerMessage *msg)
{
    struct connection *connection = connection_of(msg);
    connection_set_stage(connection, ASKING);
    (void)g_signal_connect(msg, "wrote-body", G_CALLBACK(on_answered), connection);
}

void connection_is_served(SoupServerMessage *msg)
{
    connection_set_stage(connection_of(msg), SERVED);
}
