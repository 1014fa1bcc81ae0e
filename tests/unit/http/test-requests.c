/* SPDX-License-Identifier: Apache-2.0 */
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <gio/gunixsocketaddress.h>
#include <sys/stat.h>
#include <unistd.h>

#include "http/attempts.h"
#include "model/move.h"
#include "peers.h"

static struct http_request *waiting;
static bool is_waiting;

static void echo(struct http_request *request, void *user)
{
    (void)user;
    JsonObject *body;
    struct err err;
    if (http_body(request, &body, &err)) {
        http_fail(request, &err);
        return;
    }
    JsonObject *answer = json_object_new();
    json_object_set_string_member(answer, "name", http_param(request, "name"));
    json_object_set_string_member(answer, "user", http_user(request));
    json_object_set_string_member(answer, "query", http_query(request, "q"));
    json_object_set_object_member(answer, "body", json_object_ref(body));
    http_reply(request, 201, answer);
}

static void wait_with_answer(struct http_request *request, void *user)
{
    (void)user;
    waiting = request;
    is_waiting = true;
}

static void refuse(struct http_request *request, void *user)
{
    (void)user;
    struct err err;
    (void)err_set(&err, ERR_REFUSED, "vm-busy", "the VM \"v\" moves");
    (void)err_cause(&err, "task 7");
    (void)err_fix(&err, "wait");
    err_place(&err, "copy", "source");
    http_fail(request, &err);
}

static void refuse_and_say_more(struct http_request *request, void *user)
{
    (void)user;
    struct err err;
    (void)err_set(&err, ERR_REFUSED, "vm-busy", "the VM moves");
    JsonObject *document = model_error_to_json(&err);
    json_object_set_string_member(document, "more", "and that");
    http_reply(request, 409, document);
}

static void text(struct http_request *request, void *user)
{
    (void)user;
    http_reply_text(request, 200, "text/plain; charset=utf-8", "hello", -1);
}

static const struct http_route routes[] = {
    {"PUT", "/v1/echo/{name}", HTTP_TOKEN, echo},
    {"POST", "/v1/echo/{name}", HTTP_TOKEN, echo},
    {"POST", "/v1/wait", HTTP_TOKEN, wait_with_answer},
    {"GET", "/v1/refuse", HTTP_TOKEN, refuse},
    {"GET", "/v1/refuse-and-more", HTTP_TOKEN, refuse_and_say_more},
    {"GET", "/", HTTP_OPEN, text},
    {"POST", "/v1/open/{name}", HTTP_OPEN, echo},
    {NULL},
};

static int set_up(void **state)
{
    struct peers *peers = g_new0(struct peers, 1);
    peers_init(peers, routes, NULL);
    is_waiting = false;
    *state = peers;
    return 0;
}

static int tear_down(void **state)
{
    peers_clear(*state);
    g_free(*state);
    return 0;
}

static void a_request_carries_path_query_user_and_body(void **state)
{
    struct peers *peers = *state;
    const char *const bases[] = {peers->base, peers->unix_base};
    for (size_t i = 0; i < G_N_ELEMENTS(bases); i++) {
        struct http_client *client = peers_client(peers, bases[i]);
        struct answer answer;
        JsonObject *body = json_object_new();
        json_object_set_int_member(body, "n", 7);
        ask(client, "PUT", "/v1/echo/a%20b?q=x%26y", body, &answer);
        assert_int_equal(answer.err.code, ERR_NONE);
        assert_string_equal(json_object_get_string_member(answer.object, "name"), "a b");
        assert_string_equal(json_object_get_string_member(answer.object, "query"), "x&y");
        assert_string_equal(json_object_get_string_member(answer.object, "user"), "alice");
        assert_int_equal(
            json_object_get_int_member(json_object_get_object_member(answer.object, "body"), "n"), 7);
        answer_clear(&answer);
        http_client_free(client);
    }
}

static unsigned count_descriptors(void)
{
    g_autoptr(GDir) folder = g_dir_open("/proc/self/fd", 0, NULL);
    unsigned n = 0;
    while (g_dir_read_name(folder))
        n++;
    return n;
}

/* A client keeps its connection until it ends; the library forgets the server's end. */
static void a_client_that_goes_takes_its_connection_along(void **state)
{
    struct peers *peers = *state;
    const char *const bases[] = {peers->base, peers->unix_base};
    unsigned before = count_descriptors();
    for (size_t i = 0; i < 20; i++) {
        struct http_client *client = peers_client(peers, bases[i % G_N_ELEMENTS(bases)]);
        struct answer answer;
        ask(client, "POST", "/v1/echo/a", NULL, &answer);
        assert_int_equal(answer.err.code, ERR_NONE);
        answer_clear(&answer);
        http_client_free(client);
    }
    while (count_descriptors() > before)
        (void)g_main_context_iteration(NULL, TRUE);
}

static void on_exit_of_client(GPid pid, gint status, gpointer user)
{
    g_spawn_close_pid(pid);
    *(int *)user = status;
}

/* One after the other, each a program of its own: what is left in this process is the server's. */
static void let_clients_come_and_go(const struct peers *peers, unsigned n_clients)
{
    g_autofree char *url = g_strconcat(peers->base, "/v1/nothing", NULL);
    const char *const argv[] = {"curl", "-s", "-k", "-o", "/dev/null", url, NULL};
    for (unsigned i = 0; i < n_clients; i++) {
        GPid pid;
        int status = -1;
        assert_true(g_spawn_async(NULL, (char **)(uintptr_t)argv, NULL,
                                  G_SPAWN_SEARCH_PATH | G_SPAWN_DO_NOT_REAP_CHILD, NULL, NULL, &pid, NULL));
        (void)g_child_watch_add(pid, on_exit_of_client, &status);
        while (status == -1)
            (void)g_main_context_iteration(NULL, TRUE);
        assert_int_equal(status, 0);
    }
}

/* A TLS session alone is more than 20 KiB. A sanitizer's allocator counts nothing here, and looks by itself.
 */
static void clients_that_went_leave_no_memory(void **state)
{
    const struct peers *peers = *state;
    enum { N_CLIENTS = 40 };
    unsigned n_descriptors = count_descriptors();
    size_t used[2];
    for (unsigned i = 0; i < 2; i++) {
        let_clients_come_and_go(peers, N_CLIENTS);
        while (count_descriptors() > n_descriptors)
            (void)g_main_context_iteration(NULL, TRUE);
        used[i] = mallinfo2().uordblks;
    }
    if (used[1] > used[0] + N_CLIENTS * 4096)
        fail_msg("%zu bytes more are in use after %d connections", used[1] - used[0], N_CLIENTS);
}

static void a_missing_body_is_an_empty_object(void **state)
{
    struct peers *peers = *state;
    struct http_client *client = peers_client(peers, peers->unix_base);
    struct answer answer;
    ask(client, "POST", "/v1/echo/a", NULL, &answer);
    assert_int_equal(answer.err.code, ERR_NONE);
    assert_int_equal(json_object_get_size(json_object_get_object_member(answer.object, "body")), 0);
    answer_clear(&answer);
    http_client_free(client);
}

static void errors_travel_whole(void **state)
{
    struct peers *peers = *state;
    struct http_client *client = peers_client(peers, peers->base);
    struct answer answer;
    ask(client, "GET", "/v1/refuse", NULL, &answer);
    assert_int_equal(answer.err.code, ERR_REFUSED);
    assert_string_equal(answer.err.id, "vm-busy");
    assert_string_equal(answer.err.message, "the VM \"v\" moves");
    assert_string_equal(answer.err.cause, "task 7");
    assert_string_equal(answer.err.fix, "wait");
    assert_string_equal(answer.err.phase, "copy");
    assert_string_equal(answer.err.side, "source");
    assert_null(answer.object);
    http_client_free(client);
}

static void what_is_said_beside_an_error_is_not_lost(void **state)
{
    struct peers *peers = *state;
    struct http_client *client = peers_client(peers, peers->base);
    struct answer answer;
    ask(client, "GET", "/v1/refuse-and-more", NULL, &answer);
    assert_string_equal(answer.err.id, "vm-busy");
    assert_string_equal(model_text(answer.object, "more"), "and that");
    answer_clear(&answer);
    ask(client, "GET", "/v1/refuse", NULL, &answer);
    assert_string_equal(answer.err.id, "vm-busy");
    assert_null(answer.object);
    answer_clear(&answer);
    http_client_free(client);
}

static void a_wait_in_vain_says_for_whom_and_what_was_heard(void **state)
{
    struct peers *peers = *state;
    struct http_client *client = peers_client(peers, peers->base);
    struct answer answer = {0}, first;
    /* Over a connection that stands: to make one may take longer than the wait. */
    ask(client, "POST", "/v1/echo/b", NULL, &first);
    answer_clear(&first);
    http_client_call(client, &(struct http_call){"POST", "/v1/wait", NULL, 1, NULL}, answer_done, &answer);
    wait_for(&answer.is_done);
    assert_string_equal(answer.err.id, "no-answer");
    assert_string_equal(err_arg_find(&answer.err, "peer"), peers->base);
    assert_string_equal(err_arg_find(&answer.err, "request"), "POST /v1/wait");
    assert_string_equal(err_arg_find(&answer.err, "waited_s"), "1");
    assert_string_equal(answer.err.cause, "it was sent the request, and nothing came back");
    http_reply(waiting, 200, NULL);
    http_client_free(client);
}

static void a_late_answer_reaches_the_client(void **state)
{
    struct peers *peers = *state;
    struct http_client *client = peers_client(peers, peers->base);
    struct answer late = {0}, quick;
    http_client_call(client, &(struct http_call){"POST", "/v1/wait", NULL, 0, NULL}, answer_done, &late);
    wait_for(&is_waiting);
    /* Others are served meanwhile. */
    ask(client, "POST", "/v1/echo/b", NULL, &quick);
    assert_int_equal(quick.err.code, ERR_NONE);
    answer_clear(&quick);
    assert_false(late.is_done);
    JsonObject *object = json_object_new();
    json_object_set_boolean_member(object, "late", TRUE);
    http_reply(waiting, 200, object);
    wait_for(&late.is_done);
    assert_true(json_object_get_boolean_member(late.object, "late"));
    answer_clear(&late);
    http_client_free(client);
}

static void a_client_that_leaves_does_not_crash_the_server(void **state)
{
    struct peers *peers = *state;
    const char *const bases[] = {peers->base, peers->unix_base};
    for (size_t i = 0; i < G_N_ELEMENTS(bases); i++) {
        struct http_client *client = peers_client(peers, bases[i]);
        struct answer left = {0}, answer;
        is_waiting = false;
        http_client_call(client, &(struct http_call){"POST", "/v1/wait", NULL, 0, NULL}, answer_done, &left);
        wait_for(&is_waiting);
        http_client_free(client);
        assert_true(left.is_done);
        assert_int_equal(left.err.code, ERR_CANCELLED);
        while (g_main_context_iteration(NULL, FALSE))
            ;
        http_reply(waiting, 200, NULL);
        client = peers_client(peers, bases[i]);
        ask(client, "POST", "/v1/echo/b", NULL, &answer);
        assert_int_equal(answer.err.code, ERR_NONE);
        answer_clear(&answer);
        http_client_free(client);
    }
}

static void an_answer_after_the_server_ended_harms_nobody(void **state)
{
    (void)state;
    struct peers peers = {0};
    peers_init(&peers, routes, NULL);
    struct http_client *client = peers_client(&peers, peers.unix_base);
    struct answer answer = {0};
    is_waiting = false;
    http_client_call(client, &(struct http_call){"POST", "/v1/wait", NULL, 0, NULL}, answer_done, &answer);
    wait_for(&is_waiting);
    peers_clear(&peers);
    http_reply(waiting, 200, NULL);
    wait_for(&answer.is_done);
    assert_int_equal(answer.err.code, ERR_PEER_LOST);
    http_client_free(client);
}

static void without_the_token_nobody_enters(void **state)
{
    struct peers *peers = *state;
    static const char *const tokens[] = {NULL, "bad", "goo", "good x"};
    for (size_t i = 0; i < G_N_ELEMENTS(tokens); i++) {
        const struct http_client_config config = {
            .base = peers->base, .token = tokens[i], .ca = peers->ca.certificate};
        struct http_client *client;
        struct answer answer;
        assert_int_equal(http_client_new(&config, &client, NULL), 0);
        ask(client, "POST", "/v1/echo/b", NULL, &answer);
        assert_int_equal(answer.err.code, ERR_UNAUTHORIZED);
        assert_string_equal(answer.err.id, "unauthorized");
        assert_non_null(strstr(answer.err.fix, "Authorization: Bearer"));
        http_client_free(client);
    }
}

static void unknown_paths_and_methods_are_named(void **state)
{
    struct peers *peers = *state;
    struct http_client *client = peers_client(peers, peers->unix_base);
    struct answer answer;
    ask(client, "GET", "/v1/nothing", NULL, &answer);
    assert_int_equal(answer.err.code, ERR_NOT_FOUND);
    assert_non_null(strstr(answer.err.message, "/v1/nothing"));
    http_client_free(client);
    static const char request[] =
        "DELETE /v1/echo/a HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer good\r\n\r\n";
    g_autofree char *raw = ask_raw(peers, request, strlen(request));
    assert_non_null(strstr(raw, "HTTP/1.1 405 "));
    assert_non_null(strstr(raw, "\r\nAllow: PUT, POST\r\n"));
    assert_non_null(strstr(raw, "\"id\":\"method-not-allowed\""));
}

static void malformed_json_names_line_and_position(void **state)
{
    struct peers *peers = *state;
    static const char request[] = "PUT /v1/echo/a HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: "
                                  "Bearer good\r\nContent-Length: 10\r\n\r\n{\n \"a\" 1 }";
    g_autofree char *raw = ask_raw(peers, request, strlen(request));
    assert_non_null(strstr(raw, "HTTP/1.1 400 "));
    assert_non_null(strstr(raw, "line 2, position 4"));
}

static char *big_request(const char *header, size_t size, size_t *ret_size)
{
    g_autofree char *head =
        g_strdup_printf("POST /v1/open/a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%s\r\n\r\n", header);
    char *bytes = g_malloc(strlen(head) + size);
    memcpy(bytes, head, strlen(head));
    memset(bytes + strlen(head), ' ', size);
    *ret_size = strlen(head) + size;
    return bytes;
}

static void bodies_over_the_limit_are_refused(void **state)
{
    struct peers *peers = *state;
    size_t size;
    /* Announced. */
    g_autofree char *length = g_strdup_printf("Content-Length: %d", HTTP_BODY_MAX + 1);
    g_autofree char *announced = big_request(length, HTTP_BODY_MAX + 1, &size);
    g_autofree char *raw = ask_raw(peers, announced, size);
    assert_non_null(strstr(raw, "HTTP/1.1 413 "));
    assert_non_null(strstr(raw, "\"id\":\"body-too-large\""));
    assert_non_null(strstr(raw, "1048576 bytes"));
    /* Announced to a server that is asked first: no body is waited for. */
    g_autofree char *expect = g_strconcat(length, "\r\nExpect: 100-continue", NULL);
    g_autofree char *asking = big_request(expect, 0, &size);
    g_autofree char *raw2 = ask_raw(peers, asking, size);
    assert_true(g_str_has_prefix(raw2, "HTTP/1.1 413 "));
    /* Not announced: one chunk of 2 MiB, then the end. */
    g_autofree char *chunked = big_request("Transfer-Encoding: chunked\r\n\r\n200000", 0x200000 + 7, &size);
    chunked[size - 0x200007 - 2] = '\n'; /* the chunk's size ends with one line break, not two */
    memcpy(chunked + size - 7, "\r\n0\r\n\r\n", 7);
    g_autofree char *raw3 = ask_raw(peers, chunked, size);
    assert_non_null(strstr(raw3, "HTTP/1.1 413 "));
}

static void a_body_of_exactly_the_limit_is_taken(void **state)
{
    struct peers *peers = *state;
    size_t size;
    g_autofree char *length = g_strdup_printf("Content-Length: %d", HTTP_BODY_MAX);
    g_autofree char *request = big_request(length, HTTP_BODY_MAX, &size);
    memcpy(request + size - 2, "{}", 2);
    g_autofree char *raw = ask_raw(peers, request, size);
    assert_non_null(strstr(raw, "HTTP/1.1 201 "));
}

static char *request_with_headers(size_t size, size_t *ret_size)
{
    static const char head[] = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Long: ";
    GString *text = g_string_new(head);
    for (size_t i = 0; i < size; i++)
        (void)g_string_append_c(text, 'h');
    (void)g_string_append(text, "\r\n\r\n");
    *ret_size = text->len;
    return g_string_free(text, FALSE);
}

static void headers_over_the_limit_are_refused(void **state)
{
    struct peers *peers = *state;
    size_t size;
    g_autofree char *short_ones = request_with_headers(HTTP_HEADERS_MAX - 1024, &size);
    g_autofree char *raw = ask_raw(peers, short_ones, size);
    assert_true(g_str_has_prefix(raw, "HTTP/1.1 200 "));
    g_autofree char *long_ones = request_with_headers(HTTP_HEADERS_MAX, &size);
    g_autofree char *raw2 = ask_raw(peers, long_ones, size);
    assert_true(g_str_has_prefix(raw2, "HTTP/1.1 431 "));
    assert_non_null(strstr(raw2, "\"id\":\"headers-too-large\""));
    assert_non_null(strstr(raw2, "16384 bytes"));
    /* So long that the HTTP library does not take them: no answer of a handler either. */
    g_autofree char *endless = request_with_headers(8 * 1024 * 1024, &size);
    g_autofree char *raw3 = ask_raw(peers, endless, size);
    assert_null(strstr(raw3, "HTTP/1.1 200 "));
    /* In the path it is the same. */
    g_autofree char *letters = g_strnfill(HTTP_HEADERS_MAX, 'p');
    g_autofree char *path =
        g_strdup_printf("GET /%s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", letters);
    g_autofree char *raw4 = ask_raw(peers, path, strlen(path));
    assert_true(g_str_has_prefix(raw4, "HTTP/1.1 431 "));
}

static void ask_with_token(struct peers *peers, const char *base, const char *token,
                           struct answer *ret_answer)
{
    const struct http_client_config config = {.base = base, .token = token, .ca = peers->ca.certificate};
    struct http_client *client;
    assert_int_equal(http_client_new(&config, &client, NULL), 0);
    ask(client, "POST", "/v1/echo/b", NULL, ret_answer);
    http_client_free(client);
}

static void who_shows_wrong_tokens_has_to_wait(void **state)
{
    struct peers *peers = *state;
    struct answer answer;
    /* No token at all is no attempt. */
    for (unsigned i = 0; i < 2 * ATTEMPTS_MAX; i++) {
        ask_with_token(peers, peers->base, NULL, &answer);
        assert_string_equal(answer.err.id, "unauthorized");
    }
    for (unsigned i = 0; i < ATTEMPTS_MAX; i++) {
        ask_with_token(peers, peers->base, i % 2 ? "bad" : "worse", &answer);
        assert_string_equal(answer.err.id, "unauthorized");
        if (i == ATTEMPTS_MAX / 2) {
            ask_with_token(peers, peers->base, "good", &answer);
            assert_int_equal(answer.err.code, ERR_NONE);
            answer_clear(&answer);
        }
    }
    static const char *const tokens[] = {"bad", "good"};
    for (unsigned i = 0; i < 2; i++) {
        ask_with_token(peers, peers->base, tokens[i], &answer);
        assert_int_equal(answer.err.code, ERR_REFUSED);
        assert_string_equal(answer.err.id, "too-many-attempts");
        assert_non_null(err_arg_find(&answer.err, "wait_s"));
    }
    /* Whoever may open the unix socket is not the one. */
    ask_with_token(peers, peers->unix_base, "good", &answer);
    assert_int_equal(answer.err.code, ERR_NONE);
    answer_clear(&answer);
}

static void an_endless_body_is_cut_off(void **state)
{
    struct peers *peers = *state;
    size_t size;
    g_autofree char *request = big_request("Content-Length: 1000000000000", 64 * 1024 * 1024, &size);
    g_autofree char *raw = ask_raw(peers, request, size); /* ends although the body never does */
    assert_string_equal(raw, "");
}

static void the_unix_socket_is_for_its_owner_only(void **state)
{
    struct peers *peers = *state;
    struct stat found;
    assert_int_equal(stat(peers->socket_path, &found), 0);
    assert_int_equal(found.st_mode & 0777, 0600);
}

static void a_stale_socket_is_replaced_and_a_live_one_is_not(void **state)
{
    struct peers *peers = *state;
    struct err err = {0};
    g_autofree char *path = g_build_filename(peers->directory, "stale", NULL);
    assert_int_equal(http_server_listen_unix(peers->server, peers->socket_path, &err), -1);
    assert_int_equal(err.code, ERR_REFUSED);
    g_autoptr(GSocketAddress) address = g_unix_socket_address_new(path);
    GSocket *dead = g_socket_new(G_SOCKET_FAMILY_UNIX, G_SOCKET_TYPE_STREAM, G_SOCKET_PROTOCOL_DEFAULT, NULL);
    assert_true(g_socket_bind(dead, address, TRUE, NULL));
    g_object_unref(dead);
    assert_int_equal(http_server_listen_unix(peers->server, path, &err), 0);
}

#define PROMISE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

static void what_is_no_request_gets_the_error_form_too(void **state)
{
    static const char *const requests[] = {
        "GARBAGE\r\n\r\n",
        "GET /v1/refuse HTTP/1.1\r\n\r\n",
        "GET /%zz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        "GET /v1/refuse HTTP/9.9\r\nHost: x\r\nConnection: close\r\n\r\n",
        "POST /v1/wait HTTP/1.1\r\nHost: x\r\nConnection: close\r\nExpect: more\r\nContent-Length: "
        "2\r\n\r\n{}",
        "POST /v1/wait HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: knots\r\n\r\n",
        "POST /v1/wait HTTP/1.1\r\nHost: x\r\nContent-Length: many\r\n\r\n",
    };
    struct peers *peers = *state;
    for (size_t i = 0; i < G_N_ELEMENTS(requests); i++) {
        g_autofree char *raw = ask_raw(peers, requests[i], strlen(requests[i]));
        const char *body = strstr(raw, "\r\n\r\n");
        g_autoptr(JsonObject) document = NULL;
        struct err err;
        assert_non_null(strstr(raw, "\r\nContent-Type: application/json\r\n"));
        assert_int_equal(model_parse(body + 4, -1, &document, &err), 0);
        model_error_from_json(json_object_get_object_member(document, "error"), &err);
        assert_string_equal(err.id, "request-malformed");
        assert_true(err.message[0] && err.fix[0]);
    }
    const char *about_all = "OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    g_autofree char *raw = ask_raw(peers, about_all, strlen(about_all));
    assert_non_null(strstr(raw, "\"id\":\"path-not-found\""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PROMISE(a_request_carries_path_query_user_and_body),
        PROMISE(a_client_that_goes_takes_its_connection_along),
        PROMISE(clients_that_went_leave_no_memory),
        PROMISE(a_missing_body_is_an_empty_object),
        PROMISE(errors_travel_whole),
        PROMISE(what_is_said_beside_an_error_is_not_lost),
        PROMISE(a_wait_in_vain_says_for_whom_and_what_was_heard),
        PROMISE(a_late_answer_reaches_the_client),
        PROMISE(a_client_that_leaves_does_not_crash_the_server),
        cmocka_unit_test(an_answer_after_the_server_ended_harms_nobody),
        PROMISE(without_the_token_nobody_enters),
        PROMISE(unknown_paths_and_methods_are_named),
        PROMISE(malformed_json_names_line_and_position),
        PROMISE(bodies_over_the_limit_are_refused),
        PROMISE(a_body_of_exactly_the_limit_is_taken),
        PROMISE(an_endless_body_is_cut_off),
        PROMISE(headers_over_the_limit_are_refused),
        PROMISE(who_shows_wrong_tokens_has_to_wait),
        PROMISE(the_unix_socket_is_for_its_owner_only),
        PROMISE(a_stale_socket_is_replaced_and_a_live_one_is_not),
        PROMISE(what_is_no_request_gets_the_error_form_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
