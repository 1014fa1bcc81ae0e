/* SPDX-License-Identifier: Apache-2.0 */
/* The agent's real routes, each asked by everybody who is not the manager: without a certificate, with a
 * token, with one of another authority, and with that of another host of the same cluster. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "agent/agent.h"
#include "agent/routes.h"
#include "model/protocol.h"
#include "tests/unit/http/peers.h"

static struct agent agent; /* of no use to a handler that should not have been called */

static int set_up(void **state)
{
    struct peers *peers = g_new0(struct peers, 1);
    agent.moves = g_hash_table_new(g_str_hash, g_str_equal);
    agent.vms = g_hash_table_new(g_str_hash, g_str_equal);
    peers_init(peers, agent_routes, &agent);
    *state = peers;
    return 0;
}

static int tear_down(void **state)
{
    peers_clear(*state);
    g_free(*state);
    g_hash_table_unref(agent.moves);
    g_hash_table_unref(agent.vms);
    return 0;
}

/* Its {names} filled in; g_free. */
static char *some_path(const char *pattern)
{
    g_autoptr(GRegex) name = g_regex_new("\\{[a-z]+\\}", (GRegexCompileFlags)0, (GRegexMatchFlags)0, NULL);
    return g_regex_replace_literal(name, pattern, -1, 0, "0a458e21-7b7b-4dc9-bc2c-ffd05fdd76bb",
                                   (GRegexMatchFlags)0, NULL);
}

static void ask_as(const struct http_client_config *config, const struct http_route *route,
                   struct answer *ret_answer)
{
    struct http_client *client;
    g_autofree char *path = some_path(route->path);
    assert_int_equal(http_client_new(config, &client, NULL), 0);
    ask(client, route->method, path, NULL, ret_answer);
    http_client_free(client);
}

static void everybody_else_is_refused_at_every_route(void **state)
{
    struct peers *peers = *state;
    struct authority stranger;
    authority_init(&stranger, "Cluster");
    g_autoptr(GTlsCertificate) forged = authority_issue(&stranger, "godwitd");
    g_autoptr(GTlsCertificate) host = authority_issue(&peers->ca, "h2");
    g_autoptr(GTlsCertificate) almost = authority_issue(&peers->ca, "godwitd2");
    const struct {
        const char *who;
        struct http_client_config config;
        const char *id;
    } rows[] = {
        {"nobody", {.base = peers->base, .ca = peers->ca.certificate}, "unauthorized"},
        {"a token", {.base = peers->base, .ca = peers->ca.certificate, .token = "good"}, "unauthorized"},
        {"the unix socket", {.base = peers->unix_base, .token = "good"}, "unauthorized"},
        {"another authority",
         {.base = peers->base, .ca = peers->ca.certificate, .certificate = forged},
         "unauthorized"},
        {"a host",
         {.base = peers->base, .ca = peers->ca.certificate, .certificate = host},
         "not-the-manager"},
        {"a longer name",
         {.base = peers->base, .ca = peers->ca.certificate, .certificate = almost},
         "not-the-manager"},
    };
    unsigned n_routes = 0;
    for (const struct http_route *route = agent_routes; route->method; route++, n_routes++) {
        assert_int_equal(route->access, HTTP_CLIENT);
        for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
            struct answer answer;
            ask_as(&rows[i].config, route, &answer);
            if (answer.err.code != ERR_UNAUTHORIZED || strcmp(answer.err.id, rows[i].id) != 0)
                fail_msg("%s %s for %s: %s %s", route->method, route->path, rows[i].who,
                         err_code_name(answer.err.code), answer.err.id);
            answer_clear(&answer);
        }
    }
    assert_true(n_routes > 20);
    authority_clear(&stranger);
}

static void the_manager_is_heard(void **state)
{
    struct peers *peers = *state;
    g_autoptr(GTlsCertificate) manager = authority_issue(&peers->ca, "godwitd");
    const struct http_client_config config = {
        .base = peers->base, .ca = peers->ca.certificate, .certificate = manager, .protocol = PROTOCOL};
    struct answer answer;
    ask_as(&config, &(struct http_route){.method = "GET", .path = "/v1/moves/{id}"}, &answer);
    assert_string_equal(answer.err.id, "move-not-found");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(everybody_else_is_refused_at_every_route, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_manager_is_heard, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
