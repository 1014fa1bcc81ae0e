/* SPDX-License-Identifier: Apache-2.0 */
/* What the library sees of a connection, and what requests that it does not understand leave behind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <libsoup/soup.h>
#include <malloc.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "http/head.h"
#include "peers.h"

#define REFUSED "GET / HTTP/1.1\r\n\r\n"

/* ---- the stream by itself ---- */

struct pipe {
    int client;
    GIOStream *stream;
    GPollableInputStream *input;
};

static int set_up_pipe(void **state)
{
    struct pipe *pipe = g_new0(struct pipe, 1);
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    g_autoptr(GSocket) socket = g_socket_new_from_fd(ends[0], NULL);
    g_socket_set_blocking(socket, FALSE);
    g_autoptr(GSocketConnection) base = g_socket_connection_factory_create_connection(socket);
    pipe->client = ends[1];
    pipe->stream = head_stream_new(G_IO_STREAM(base));
    pipe->input = G_POLLABLE_INPUT_STREAM(g_io_stream_get_input_stream(pipe->stream));
    head_stream_expect(pipe->stream);
    *state = pipe;
    return 0;
}

static int tear_down_pipe(void **state)
{
    struct pipe *pipe = *state;
    g_object_unref(pipe->stream);
    (void)close(pipe->client);
    g_free(pipe);
    return 0;
}

static void say(const struct pipe *pipe, const char *text)
{
    assert_int_equal(write(pipe->client, text, strlen(text)), (ssize_t)strlen(text));
}

/* All that can be read by now; "wait" if that is nothing. g_free. */
static char *hear(const struct pipe *pipe)
{
    GString *text = g_string_new(NULL);
    char buffer[7];
    g_autoptr(GError) error = NULL;
    gssize n;
    while ((n = g_pollable_input_stream_read_nonblocking(pipe->input, buffer, sizeof buffer, NULL, &error)) >
           0)
        (void)g_string_append_len(text, buffer, n);
    if (n < 0)
        assert_true(g_error_matches(error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK));
    if (n < 0 && !text->len)
        (void)g_string_assign(text, "wait");
    return g_string_free(text, FALSE);
}

static void assert_heard(const struct pipe *pipe, const char *expected)
{
    g_autofree char *text = hear(pipe);
    assert_string_equal(text, expected);
}

static void nothing_of_a_head_is_seen_before_it_is_whole(void **state)
{
    static const char *const heads[] = {
        "POST /v1/vms HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n",
        "GET / HTTP/1.0\n\n",
        "GET / HTTP/1.1\nHost: x\n\r\n",
        "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\n",
    };
    const struct pipe *pipe = *state;
    for (size_t i = 0; i < G_N_ELEMENTS(heads); i++) {
        say(pipe, "\r\n\n\r\n"); /* without a meaning */
        for (const char *byte = heads[i]; *byte; byte++) {
            assert_heard(pipe, "wait");
            say(pipe, (const char[]){*byte, '\0'});
        }
        assert_heard(pipe, heads[i]);
        /* Of the body each byte is seen as it comes. */
        say(pipe, "{");
        assert_heard(pipe, "{");
        say(pipe, "}\n\n\n");
        assert_heard(pipe, "}\n\n\n");
        head_stream_expect(pipe->stream);
    }
    (void)shutdown(pipe->client, SHUT_WR);
    assert_heard(pipe, "");
}

static void what_comes_with_a_head_is_kept(void **state)
{
    const struct pipe *pipe = *state;
    char head[16];
    say(pipe, "GET / HTTP/1.0\n\nGET /2 HTTP/1.0\n\n");
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(g_pollable_input_stream_read_nonblocking(pipe->input, head + i * 8, 8, NULL, NULL),
                         8);
    assert_memory_equal(head, "GET / HTTP/1.0\n\n", 16);
    assert_true(g_pollable_input_stream_is_readable(pipe->input));
    head_stream_expect(pipe->stream);
    assert_heard(pipe, "GET /2 HTTP/1.0\n\n");
}

static gboolean on_ready(GObject *input, gpointer user)
{
    (void)input;
    *(bool *)user = true;
    return G_SOURCE_REMOVE;
}

static void what_is_held_wakes_its_reader(void **state)
{
    const struct pipe *pipe = *state;
    char byte;
    bool is_ready = false;
    say(pipe, "GET / HTTP/1.0\n\n");
    assert_int_equal(g_pollable_input_stream_read_nonblocking(pipe->input, &byte, 1, NULL, NULL), 1);
    g_autoptr(GSource) source = g_pollable_input_stream_create_source(pipe->input, NULL);
    g_source_set_callback(source, G_SOURCE_FUNC(on_ready), &is_ready, NULL);
    (void)g_source_attach(source, NULL);
    wait_for(&is_ready);
    assert_heard(pipe, "ET / HTTP/1.0\n\n");
    assert_false(g_pollable_input_stream_is_readable(pipe->input));
}

/* The library, asked with each, would lose memory or look for the head's end elsewhere. */
static const char *const bad_heads[] = {
    "POST /long HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: knots\r\n\r\n",
    "POST /long HTTP/1.1\r\nHost: x\r\nContent-Length: many\r\n\r\n",
    "POST /long HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: gzip\r\n\r\n",
    "\n\nPOST /long HTTP/1.1\nHost: x\nTransfer-Encoding: knots\n\n",
    "X\n\r\nPOST /long HTTP/1.1\r\nTransfer-Encoding: knots\r\n\r\n",
    "\r\n\r\nX\n\nPOST /long HTTP/1.1\r\nTransfer-Encoding: knots\r\n\r\n",
};
/* Whose end is the connection's. */
static const char *const cut_heads[] = {
    "POST /long HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: knots\r\n",
    "POST /long HTTP/1.1\r\nHost: x\r\n",
};

static void of_what_is_not_understood_nothing_is_seen(void **state)
{
    const struct pipe *pipe = *state;
    for (size_t i = 0; i < G_N_ELEMENTS(bad_heads); i++) {
        say(pipe, bad_heads[i]);
        assert_heard(pipe, REFUSED);
        head_stream_expect(pipe->stream);
    }
    say(pipe, cut_heads[0]);
    assert_heard(pipe, "wait");
    (void)shutdown(pipe->client, SHUT_WR);
    assert_heard(pipe, REFUSED);
}

static void an_endless_head_is_refused(void **state)
{
    const struct pipe *pipe = *state;
    size_t said = strlen("GET /");
    say(pipe, "GET /");
    for (; said + 1024 <= HEAD_MAX; said += 1024) {
        g_autofree char *letters = g_strnfill(1024, 'a');
        assert_heard(pipe, "wait");
        say(pipe, letters);
    }
    g_autofree char *rest = g_strnfill(HEAD_MAX - said + 1, 'a');
    say(pipe, rest);
    assert_heard(pipe, REFUSED);
}

static void an_end_of_the_stream_ends_the_connection(void **state)
{
    const struct pipe *pipe = *state;
    char byte;
    assert_true(g_io_stream_close(pipe->stream, NULL, NULL));
    assert_int_equal(read(pipe->client, &byte, 1), 0);
}

/* ---- the server ---- */

static void about(struct http_request *request, void *user)
{
    (void)user;
    http_reply(request, 200, NULL);
}

static const struct http_route routes[] = {{"GET", "/v1/about", HTTP_TOKEN, about}, {NULL}};

static int set_up(void **state)
{
    struct peers *peers = g_new0(struct peers, 1);
    peers_init(peers, routes, NULL);
    *state = peers;
    return 0;
}

static int tear_down(void **state)
{
    peers_clear(*state);
    g_free(*state);
    return 0;
}

/* With a path as long as is allowed. */
static void ask_in_vain(const struct peers *peers, const char *head, bool ends)
{
    g_autofree char *letters = g_strnfill(15 * 1024, 'p');
    g_auto(GStrv) parts = g_strsplit(head, "long", 2);
    g_autofree char *request = g_strjoinv(letters, parts);
    const struct raw_request raw = {request, strlen(request), ends};
    g_autofree char *answer = ask_raw_so(peers, &raw);
    if (!g_str_has_prefix(answer, "HTTP/1.1 400 "))
        fail_msg("%.30s… is answered with \"%s\"", head, answer);
    assert_non_null(strstr(answer, "\"id\":\"request-malformed\""));
}

/* A sanitizer's allocator counts nothing here, and looks by itself. */
static void requests_that_are_not_understood_leave_no_memory(void **state)
{
    const struct peers *peers = *state;
    enum { N_ROUNDS = 10, N_REQUESTS = N_ROUNDS * (G_N_ELEMENTS(bad_heads) + G_N_ELEMENTS(cut_heads)) };
    size_t used[2];
    for (unsigned turn = 0; turn < 2; turn++) {
        for (unsigned round = 0; round < N_ROUNDS; round++) {
            for (size_t i = 0; i < G_N_ELEMENTS(bad_heads); i++)
                ask_in_vain(peers, bad_heads[i], false);
            for (size_t i = 0; i < G_N_ELEMENTS(cut_heads); i++)
                ask_in_vain(peers, cut_heads[i], true);
        }
        used[turn] = mallinfo2().uordblks;
    }
    if (used[1] > used[0] + N_REQUESTS * 512)
        fail_msg("%zu bytes more are in use after %d requests", used[1] - used[0], N_REQUESTS);
}

#define ALONE(name) cmocka_unit_test_setup_teardown(name, set_up_pipe, tear_down_pipe)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ALONE(nothing_of_a_head_is_seen_before_it_is_whole),
        ALONE(what_comes_with_a_head_is_kept),
        ALONE(what_is_held_wakes_its_reader),
        ALONE(of_what_is_not_understood_nothing_is_seen),
        ALONE(an_endless_head_is_refused),
        ALONE(an_end_of_the_stream_ends_the_connection),
        cmocka_unit_test_setup_teardown(requests_that_are_not_understood_leave_no_memory, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
