/* SPDX-License-Identifier: Apache-2.0 */
/* Many requests at a time, and the connections under them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "http/server.h"
#include "peers.h"

#define CALLS_PER_CLIENT 32 /* as many connections as one makes */
#define N_CLIENTS (HTTP_UNDER_WAY_MAX / CALLS_PER_CLIENT)

static GPtrArray *held;

static void hold(struct http_request *request, void *user)
{
    (void)user;
    g_ptr_array_add(held, request);
}

static void about(struct http_request *request, void *user)
{
    (void)user;
    http_reply(request, 200, NULL);
}

static const struct http_route routes[] = {
    {"GET", "/v1/hold", HTTP_TOKEN, hold}, {"GET", "/v1/about", HTTP_TOKEN, about}, {NULL}};

static int set_up(void **state)
{
    struct peers *peers = g_new0(struct peers, 1);
    peers_init(peers, routes, NULL);
    held = g_ptr_array_new();
    *state = peers;
    return 0;
}

static int tear_down(void **state)
{
    peers_clear(*state);
    g_free(*state);
    g_ptr_array_unref(held);
    return 0;
}

static void answer_one(void)
{
    http_reply(g_ptr_array_steal_index(held, 0), 200, NULL);
}

static void one_user_leaves_room_for_others(void **state)
{
    struct peers *peers = *state;
    struct http_client *clients[N_CLIENTS];
    struct http_client *last = peers_client(peers, peers->unix_base);
    struct answer answers[HTTP_UNDER_WAY_MAX] = {0};
    struct answer answer;
    for (size_t i = 0; i < HTTP_UNDER_WAY_MAX; i++) {
        struct http_client **client = &clients[i / CALLS_PER_CLIENT];
        if (i % CALLS_PER_CLIENT == 0)
            *client = peers_client(peers, peers->unix_base);
        http_client_call(*client, &(struct http_call){"GET", "/v1/hold", NULL, 0, NULL}, answer_done,
                         &answers[i]);
        while (held->len <= i)
            (void)g_main_context_iteration(NULL, TRUE);
    }
    ask(last, "GET", "/v1/about", NULL, &answer);
    assert_string_equal(answer.err.id, "too-many-requests");
    assert_int_equal(answer.err.code, ERR_REFUSED);
    answer_clear(&answer);
    answer_one();
    wait_for(&answers[0].is_done);
    ask(last, "GET", "/v1/about", NULL, &answer);
    assert_string_equal(answer.err.message, "");
    answer_clear(&answer);
    while (held->len)
        answer_one();
    for (size_t i = 0; i < HTTP_UNDER_WAY_MAX; i++) {
        wait_for(&answers[i].is_done);
        answer_clear(&answers[i]);
    }
    for (size_t i = 0; i < N_CLIENTS; i++)
        http_client_free(clients[i]);
    http_client_free(last);
}

static void who_asks_again_keeps_the_connection(void **state)
{
    struct peers *peers = *state;
    struct http_client *client = peers_client(peers, peers->base);
    for (unsigned i = 0; i < 3; i++) {
        struct answer answer;
        ask(client, "GET", "/v1/about", NULL, &answer);
        assert_string_equal(answer.err.message, "");
        answer_clear(&answer);
        assert_int_equal(g_queue_get_length(&peers->server->connections.open), 1);
    }
    http_client_free(client);
}

#define PROMISE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PROMISE(one_user_leaves_room_for_others),
        PROMISE(who_asks_again_keeps_the_connection),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
