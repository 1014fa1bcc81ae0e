/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "peers.h"

#define PARALLEL 12

static GPtrArray *waiting;
static bool all_wait;

static void wait_for_all(struct http_request *request, void *user)
{
    (void)user;
    g_ptr_array_add(waiting, request);
    all_wait = waiting->len == PARALLEL;
}

static void hello(struct http_request *request, void *user)
{
    (void)user;
    http_reply(request, 200, NULL);
}

static void huge(struct http_request *request, void *user)
{
    (void)user;
    g_autofree char *text = g_strnfill(17 * 1024 * 1024, ' ');
    http_reply_text(request, 200, "application/json", text, -1);
}

static void not_json(struct http_request *request, void *user)
{
    (void)user;
    http_reply_text(request, 200, "text/html", "<html>", -1);
}

static void bare_status(struct http_request *request, void *user)
{
    (void)user;
    http_reply_text(request, 503, "text/html", "<html>", -1);
}

static const struct http_route routes[] = {
    {"POST", "/v1/wait", HTTP_TOKEN, wait_for_all}, {"GET", "/v1/hello", HTTP_TOKEN, hello},
    {"GET", "/v1/huge", HTTP_TOKEN, huge},          {"GET", "/v1/html", HTTP_TOKEN, not_json},
    {"GET", "/v1/bare", HTTP_TOKEN, bare_status},   {NULL},
};

static int set_up(void **state)
{
    struct peers *peers = g_new0(struct peers, 1);
    peers_init(peers, routes, NULL);
    waiting = g_ptr_array_new();
    all_wait = false;
    *state = peers;
    return 0;
}

static int tear_down(void **state)
{
    peers_clear(*state);
    g_free(*state);
    (void)g_ptr_array_free(waiting, TRUE);
    return 0;
}

static void calls_run_side_by_side(void **state)
{
    struct peers *peers = *state;
    struct http_client *client = peers_client(peers, peers->base);
    struct answer answers[PARALLEL] = {0};
    for (int i = 0; i < PARALLEL; i++)
        http_client_call(client, &(struct http_call){"POST", "/v1/wait", NULL, 0, NULL}, answer_done,
                         &answers[i]);
    wait_for(&all_wait); /* one that waited for another would hang here */
    for (int i = PARALLEL; i-- > 0;)
        http_reply(waiting->pdata[i], 200, NULL);
    for (int i = 0; i < PARALLEL; i++) {
        wait_for(&answers[i].is_done);
        assert_int_equal(answers[i].err.code, ERR_NONE);
        answer_clear(&answers[i]);
    }
    http_client_free(client);
}

static void silence_ends_at_the_deadline(void **state)
{
    struct peers *peers = *state;
    struct http_client *client = peers_client(peers, peers->unix_base);
    struct answer answer = {0};
    http_client_call(client, &(struct http_call){"POST", "/v1/wait", NULL, 1, NULL}, answer_done, &answer);
    wait_for(&answer.is_done);
    assert_int_equal(answer.err.code, ERR_TIMEOUT);
    assert_non_null(strstr(answer.err.message, peers->unix_base));
    http_reply(waiting->pdata[0], 200, NULL);
    http_client_free(client);
}

static void a_cancelled_call_says_so(void **state)
{
    struct peers *peers = *state;
    struct http_client *client = peers_client(peers, peers->base);
    struct answer answer = {0};
    g_autoptr(GCancellable) cancel = g_cancellable_new();
    http_client_call(client, &(struct http_call){"POST", "/v1/wait", NULL, 60, cancel}, answer_done, &answer);
    while (!waiting->len)
        (void)g_main_context_iteration(NULL, TRUE);
    g_cancellable_cancel(cancel);
    wait_for(&answer.is_done);
    assert_int_equal(answer.err.code, ERR_CANCELLED);
    http_reply(waiting->pdata[0], 200, NULL);
    http_client_free(client);
}

static void nobody_there_names_the_address(void **state)
{
    struct peers *peers = *state;
    const char *const bases[] = {"https://127.0.0.1:1", "unix:/nonexistent/socket"};
    for (size_t i = 0; i < G_N_ELEMENTS(bases); i++) {
        struct http_client *client = peers_client(peers, bases[i]);
        struct answer answer;
        ask(client, "GET", "/v1/hello", NULL, &answer);
        assert_int_equal(answer.err.code, ERR_PEER_LOST);
        assert_non_null(strstr(answer.err.message, bases[i]));
        assert_string_not_equal(answer.err.cause, "");
        http_client_free(client);
    }
}

static void a_server_at_an_ipv6_address_answers(void **state)
{
    struct peers *peers = *state;
    struct err err = {0};
    uint16_t port;
    assert_int_equal(http_server_listen(peers->server, "::1", 0, &port, &err), 0);
    g_autofree char *base = g_strdup_printf("https://[::1]:%u", port);
    struct http_client *client = peers_client(peers, base);
    struct answer answer;
    ask(client, "GET", "/v1/hello", NULL, &answer);
    assert_string_equal(answer.err.message, "");
    answer_clear(&answer);
    http_client_free(client);
}

static void an_answer_that_is_not_ours_is_an_error(void **state)
{
    struct peers *peers = *state;
    struct http_client *client = peers_client(peers, peers->unix_base);
    struct answer answer;
    ask(client, "GET", "/v1/html", NULL, &answer);
    assert_int_equal(answer.err.code, ERR_CORRUPT);
    ask(client, "GET", "/v1/bare", NULL, &answer);
    assert_int_equal(answer.err.code, ERR_RETRY);
    assert_non_null(strstr(answer.err.message, "503"));
    ask(client, "GET", "/v1/huge", NULL, &answer);
    assert_string_equal(answer.err.id, "answer-too-large");
    http_client_free(client);
}

static void addresses_that_are_none_are_refused(void **state)
{
    struct peers *peers = *state;
    const char *const bases[] = {"", "http://127.0.0.1:1", "127.0.0.1", "https://", "https://a/b", "unix:x"};
    for (size_t i = 0; i < G_N_ELEMENTS(bases); i++) {
        const struct http_client_config config = {.base = bases[i], .ca = peers->ca.certificate};
        struct http_client *client;
        struct err err = {0};
        assert_int_equal(http_client_new(&config, &client, &err), -1);
        assert_string_equal(err.id, "address-invalid");
    }
    const struct http_client_config blind = {.base = peers->base};
    struct http_client *client;
    assert_int_equal(http_client_new(&blind, &client, NULL), -1);
}

struct sync {
    struct http_client *client;
    const char *path;
    JsonObject *object;
    int result;
    struct err err;
    bool is_done;
};

static gboolean sync_done(gpointer user)
{
    ((struct sync *)user)->is_done = true;
    return G_SOURCE_REMOVE;
}

static gpointer sync_run(gpointer user)
{
    struct sync *sync = user;
    sync->result = http_client_call_sync(sync->client, &(struct http_call){"GET", sync->path, NULL, 30},
                                         &sync->object, &sync->err);
    (void)g_idle_add(sync_done, sync);
    return NULL;
}

static void a_blocking_call_needs_no_main_loop_of_its_own(void **state)
{
    struct peers *peers = *state;
    const char *const bases[] = {peers->base, peers->unix_base};
    for (size_t i = 0; i < G_N_ELEMENTS(bases); i++) {
        struct sync good = {.client = peers_client(peers, bases[i]), .path = "/v1/hello"};
        struct sync bad = {.client = good.client, .path = "/v1/nothing"};
        GThread *one = g_thread_new("sync", sync_run, &good);
        GThread *two = g_thread_new("sync", sync_run, &bad);
        wait_for(&good.is_done);
        wait_for(&bad.is_done);
        (void)g_thread_join(one);
        (void)g_thread_join(two);
        assert_int_equal(good.result, 0);
        assert_non_null(good.object);
        json_object_unref(good.object);
        assert_int_equal(bad.result, -1);
        assert_string_equal(bad.err.id, "path-not-found");
        assert_null(bad.object);
        http_client_free(good.client);
    }
}

#define PROMISE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PROMISE(calls_run_side_by_side),
        PROMISE(silence_ends_at_the_deadline),
        PROMISE(a_cancelled_call_says_so),
        PROMISE(nobody_there_names_the_address),
        PROMISE(a_server_at_an_ipv6_address_answers),
        PROMISE(an_answer_that_is_not_ours_is_an_error),
        PROMISE(addresses_that_are_none_are_refused),
        PROMISE(a_blocking_call_needs_no_main_loop_of_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
