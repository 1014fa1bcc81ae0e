/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>
#include <gio/gunixsocketaddress.h>

#include "peers.h"

#define EVENTS 500

static struct http_stream *stream;
static bool is_open, is_closed;

static void on_closed(struct http_stream *which, void *user)
{
    (void)user;
    assert_ptr_equal(which, stream);
    assert_false(is_closed);
    is_closed = true;
    stream = NULL;
}

static void open_stream(struct http_request *request, void *user)
{
    (void)user;
    stream = http_stream_open(request, on_closed, NULL);
    is_open = true;
}

static const struct http_route routes[] = {{"GET", "/v1/events", HTTP_TOKEN, open_stream}, {NULL}};

static int set_up(void **state)
{
    struct peers *peers = g_new0(struct peers, 1);
    peers_init(peers, routes, NULL);
    is_open = is_closed = false;
    stream = NULL;
    *state = peers;
    return 0;
}

static int tear_down(void **state)
{
    struct peers *peers = *state;
    if (peers->server)
        peers_clear(peers);
    g_free(peers);
    return 0;
}

static JsonObject *numbered(int n)
{
    JsonObject *object = json_object_new();
    json_object_set_int_member(object, "n", n);
    return object;
}

/* A reader in a thread, as a command line is. */
struct reader {
    struct http_client *client;
    const char *path;
    int stop_after; /* events */
    int count;
    bool in_order;
    int result;
    struct err err;
    bool is_done;
};

static bool on_event(const char *name, JsonObject *object, void *user)
{
    struct reader *reader = user;
    reader->in_order = reader->in_order && !strcmp(name, "count") &&
                       json_object_get_int_member(object, "n") == reader->count;
    reader->count++;
    return reader->count < reader->stop_after;
}

static gboolean reader_done(gpointer user)
{
    ((struct reader *)user)->is_done = true;
    return G_SOURCE_REMOVE;
}

static gpointer reader_run(gpointer user)
{
    struct reader *reader = user;
    reader->in_order = true;
    reader->result = http_client_events_sync(reader->client, reader->path, on_event, reader, &reader->err);
    (void)g_idle_add(reader_done, reader);
    return NULL;
}

static void events_arrive_in_order(void **state)
{
    struct peers *peers = *state;
    const char *const bases[] = {peers->base, peers->unix_base};
    for (size_t i = 0; i < G_N_ELEMENTS(bases); i++) {
        struct reader reader = {
            .client = peers_client(peers, bases[i]), .path = "/v1/events", .stop_after = EVENTS + 1};
        is_open = false;
        GThread *thread = g_thread_new("reader", reader_run, &reader);
        wait_for(&is_open);
        for (int n = 0; n < EVENTS; n++)
            http_stream_send(stream, "count", (uint64_t)n, numbered(n));
        http_stream_end(stream);
        wait_for(&reader.is_done);
        (void)g_thread_join(thread);
        assert_int_equal(reader.result, 0);
        assert_int_equal(reader.count, EVENTS);
        assert_true(reader.in_order);
        assert_false(is_closed);
        http_client_free(reader.client);
    }
}

static void a_reader_that_leaves_is_noticed_without_an_event(void **state)
{
    struct peers *peers = *state;
    const char *const bases[] = {peers->base, peers->unix_base};
    for (size_t i = 0; i < G_N_ELEMENTS(bases); i++) {
        struct reader reader = {
            .client = peers_client(peers, bases[i]), .path = "/v1/events", .stop_after = 1};
        is_open = is_closed = false;
        GThread *thread = g_thread_new("reader", reader_run, &reader);
        wait_for(&is_open);
        http_stream_send(stream, "count", 0, numbered(0));
        wait_for(&is_closed);
        wait_for(&reader.is_done);
        (void)g_thread_join(thread);
        assert_int_equal(reader.result, 0);
        http_client_free(reader.client);
    }
}

/* A socket whose stream is open and that nobody reads. */
static GSocket *open_idle(const struct peers *peers)
{
    static const char request[] = "GET /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer good\r\n\r\n";
    g_autoptr(GSocketAddress) address = g_unix_socket_address_new(peers->socket_path);
    GSocket *idle = g_socket_new(G_SOCKET_FAMILY_UNIX, G_SOCKET_TYPE_STREAM, G_SOCKET_PROTOCOL_DEFAULT, NULL);
    assert_true(g_socket_connect(idle, address, NULL, NULL));
    assert_int_equal(g_socket_send(idle, request, strlen(request), NULL, NULL), strlen(request));
    wait_for(&is_open);
    return idle;
}

/* What the end of a TCP connection looks like before anything is written to it. */
static void the_end_of_the_reader_s_side_is_noticed(void **state)
{
    g_autoptr(GSocket) idle = open_idle(*state);
    assert_true(g_socket_shutdown(idle, FALSE, TRUE, NULL));
    wait_for(&is_closed);
}

static void slow_readers_are_cut(void **state)
{
    g_autoptr(GSocket) idle = open_idle(*state);
    g_autofree char *kilobyte = g_strnfill(1024, 'x');
    int sent = 0;
    for (; !is_closed; sent++) {
        JsonObject *object = json_object_new();
        json_object_set_string_member(object, "x", kilobyte);
        http_stream_send(stream, "count", 0, object);
        (void)g_main_context_iteration(NULL, FALSE);
    }
    assert_true(sent > 900); /* the megabyte that is promised, whatever the socket takes besides */
    assert_true(sent < 4096);
    /* What was written before the cut is readable; then the connection is at its end. */
    char buffer[65536];
    gssize n;
    g_socket_set_timeout(idle, 10);
    while ((n = g_socket_receive(idle, buffer, sizeof buffer, NULL, NULL)) > 0)
        ;
    assert_int_equal(n, 0);
}

static void a_server_that_ends_closes_its_streams(void **state)
{
    struct peers *peers = *state;
    struct reader reader = {
        .client = peers_client(peers, peers->base), .path = "/v1/events", .stop_after = 100};
    GThread *thread = g_thread_new("reader", reader_run, &reader);
    wait_for(&is_open);
    peers_clear(peers);
    peers->server = NULL;
    assert_true(is_closed);
    wait_for(&reader.is_done);
    (void)g_thread_join(thread);
    http_client_free(reader.client);
}

static void a_refused_reader_is_told_why(void **state)
{
    struct peers *peers = *state;
    struct reader reader = {
        .client = peers_client(peers, peers->base), .path = "/v1/nothing", .stop_after = 1};
    GThread *thread = g_thread_new("reader", reader_run, &reader);
    wait_for(&reader.is_done);
    (void)g_thread_join(thread);
    assert_int_equal(reader.result, -1);
    assert_string_equal(reader.err.id, "path-not-found");
    http_client_free(reader.client);
}

#define PROMISE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PROMISE(events_arrive_in_order),
        PROMISE(a_reader_that_leaves_is_noticed_without_an_event),
        PROMISE(the_end_of_the_reader_s_side_is_noticed),
        PROMISE(slow_readers_are_cut),
        PROMISE(a_server_that_ends_closes_its_streams),
        PROMISE(a_refused_reader_is_told_why),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
