/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>
#include <gnutls/gnutls.h>

#include "peers.h"
#include "relay.h"

static void whoami(struct http_request *request, void *user)
{
    (void)user;
    JsonObject *answer = json_object_new();
    json_object_set_string_member(answer, "user", http_user(request));
    http_reply(request, 200, answer);
}

static const struct http_route routes[] = {
    {"POST", "/v1/enrol", HTTP_OPEN, whoami},
    {"GET", "/v1/host", HTTP_CLIENT, whoami},
    {NULL},
};

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

/* One GET /v1/host or POST /v1/enrol with a client of this configuration. */
static void ask_as(const struct http_client_config *config, const char *method, const char *path,
                   struct answer *ret_answer)
{
    struct http_client *client;
    assert_int_equal(http_client_new(config, &client, NULL), 0);
    ask(client, method, path, NULL, ret_answer);
    http_client_free(client);
}

static void a_host_is_known_by_its_certificate(void **state)
{
    struct peers *peers = *state;
    struct answer answer;
    g_autoptr(GTlsCertificate) mine = authority_issue(&peers->ca, "host-1");
    const struct http_client_config config = {
        .base = peers->base, .ca = peers->ca.certificate, .certificate = mine, .expected_name = "server"};
    ask_as(&config, "GET", "/v1/host", &answer);
    assert_int_equal(answer.err.code, ERR_NONE);
    assert_string_equal(json_object_get_string_member(answer.object, "user"), "host-1");
    answer_clear(&answer);
}

/* The second request of the first connection is the end of it; the library sends it again, over another one.
 */
static bool cut_second_request(struct relay_piece *piece, void *user)
{
    bool *is_armed = user;
    return piece->connection || !piece->from_source || !__atomic_load_n(is_armed, __ATOMIC_ACQUIRE);
}

static void a_request_that_is_sent_again_shows_the_certificate_again(void **state)
{
    struct peers *peers = *state;
    bool is_armed = false;
    struct relay *relay = relay_start(peers->port, cut_second_request, &is_armed);
    g_autofree char *base = g_strdup_printf("https://127.0.0.1:%u", relay_port(relay));
    g_autoptr(GTlsCertificate) mine = authority_issue(&peers->ca, "host-1");
    const struct http_client_config config = {
        .base = base, .ca = peers->ca.certificate, .certificate = mine, .expected_name = "server"};
    struct http_client *client;
    assert_int_equal(http_client_new(&config, &client, NULL), 0);
    for (unsigned i = 0; i < 3; i++) {
        struct answer answer;
        ask(client, "GET", "/v1/host", NULL, &answer);
        if (err_is_set(&answer.err))
            fail_msg("request %u: %s", i, answer.err.message);
        answer_clear(&answer);
        __atomic_store_n(&is_armed, true, __ATOMIC_RELEASE);
    }
    http_client_free(client);
    relay_end(relay);
}

static void a_stranger_certificate_is_refused(void **state)
{
    struct peers *peers = *state;
    struct authority stranger;
    struct answer answer;
    authority_init(&stranger, "Cluster");
    g_autoptr(GTlsCertificate) forged = authority_issue(&stranger, "host-1");
    const struct http_client_config config = {
        .base = peers->base, .ca = peers->ca.certificate, .certificate = forged};
    ask_as(&config, "GET", "/v1/host", &answer);
    assert_int_equal(answer.err.code, ERR_UNAUTHORIZED);
    assert_non_null(strstr(answer.err.message, "not signed by our certificate authority"));
    authority_clear(&stranger);
}

static void without_a_certificate_only_enrolment_is_open(void **state)
{
    struct peers *peers = *state;
    struct answer answer;
    const struct http_client_config config = {.base = peers->base, .ca = peers->ca.certificate};
    ask_as(&config, "GET", "/v1/host", &answer);
    assert_int_equal(answer.err.code, ERR_UNAUTHORIZED);
    assert_string_equal(answer.err.id, "unauthorized");
    ask_as(&config, "POST", "/v1/enrol", &answer);
    assert_int_equal(answer.err.code, ERR_NONE);
    answer_clear(&answer);
}

static void the_unix_socket_is_no_host(void **state)
{
    struct peers *peers = *state;
    struct answer answer;
    const struct http_client_config config = {.base = peers->unix_base};
    ask_as(&config, "GET", "/v1/host", &answer);
    assert_int_equal(answer.err.code, ERR_UNAUTHORIZED);
}

static void a_server_of_another_authority_is_refused(void **state)
{
    struct peers *peers = *state;
    struct authority stranger;
    struct answer answer;
    authority_init(&stranger, "Cluster");
    const struct http_client_config config = {.base = peers->base, .ca = stranger.certificate};
    ask_as(&config, "POST", "/v1/enrol", &answer);
    assert_int_equal(answer.err.code, ERR_UNAUTHORIZED);
    assert_string_equal(answer.err.id, "peer-not-trusted");
    assert_non_null(strstr(answer.err.message, peers->base));
    authority_clear(&stranger);
}

static void a_server_of_another_name_is_refused(void **state)
{
    struct peers *peers = *state;
    struct answer answer;
    const struct http_client_config config = {
        .base = peers->base, .ca = peers->ca.certificate, .expected_name = "host-2"};
    ask_as(&config, "POST", "/v1/enrol", &answer);
    assert_string_equal(answer.err.id, "peer-not-trusted");
    assert_non_null(strstr(answer.err.message, "another name"));
}

static void enrolment_needs_the_right_fingerprint(void **state)
{
    struct peers *peers = *state;
    struct answer answer;
    char fingerprint[65];
    assert_int_equal(http_cert_fingerprint(peers->ca.cert_pem, fingerprint, NULL), 0);
    g_autofree char *upper = g_ascii_strup(fingerprint, -1);
    const struct http_client_config right = {.base = peers->base, .ca_fingerprint = upper};
    ask_as(&right, "POST", "/v1/enrol", &answer);
    assert_int_equal(answer.err.code, ERR_NONE);
    answer_clear(&answer);
    fingerprint[0] = fingerprint[0] == '0' ? '1' : '0';
    const struct http_client_config wrong = {.base = peers->base, .ca_fingerprint = fingerprint};
    ask_as(&wrong, "POST", "/v1/enrol", &answer);
    assert_string_equal(answer.err.id, "peer-not-trusted");
    assert_non_null(strstr(answer.err.message, "fingerprint"));
}

/* The authority's certificate is public: whoever shows it behind a leaf of his own must not pass. */
static void a_borrowed_authority_in_the_chain_is_not_enough(void **state)
{
    struct peers *peers = *state;
    struct authority stranger;
    struct answer answer;
    struct http_server *server;
    uint16_t port;
    char fingerprint[65];
    g_autofree char *csr = NULL, *key = NULL, *cert = NULL;
    g_autoptr(GTlsCertificate) shown = NULL;
    authority_init(&stranger, "Cluster");
    assert_int_equal(http_csr_new("server", &csr, &key, NULL), 0);
    assert_int_equal(http_csr_sign(csr, &(struct http_identity){"server", NULL, 30},
                                   &(struct http_authority){stranger.cert_pem, stranger.key_pem}, &cert,
                                   NULL),
                     0);
    g_autofree char *chain = g_strconcat(cert, peers->ca.cert_pem, NULL);
    assert_int_equal(http_cert_load(chain, key, &shown, NULL), 0);
    const struct http_server_config server_config = {.routes = routes, .certificate = shown};
    assert_int_equal(http_server_new(&server_config, &server, NULL), 0);
    assert_int_equal(http_server_listen(server, "127.0.0.1", 0, &port, NULL), 0);
    assert_int_equal(http_cert_fingerprint(peers->ca.cert_pem, fingerprint, NULL), 0);
    g_autofree char *base = g_strdup_printf("https://127.0.0.1:%u", port);
    const struct http_client_config config = {.base = base, .ca_fingerprint = fingerprint};
    ask_as(&config, "POST", "/v1/enrol", &answer);
    assert_string_equal(answer.err.id, "peer-not-trusted");
    http_server_free(server);
    authority_clear(&stranger);
}

static void a_new_certificate_serves_new_connections(void **state)
{
    struct peers *peers = *state;
    struct answer answer;
    g_autoptr(GTlsCertificate) renewed = authority_issue(&peers->ca, "server-2");
    http_server_set_certificate(peers->server, renewed);
    const struct http_client_config config = {
        .base = peers->base, .ca = peers->ca.certificate, .expected_name = "server-2"};
    ask_as(&config, "POST", "/v1/enrol", &answer);
    assert_int_equal(answer.err.code, ERR_NONE);
    answer_clear(&answer);
}

struct handshake {
    uint16_t port;
    const char *priority;
    int result;
    bool is_done;
};

static gboolean handshake_done(gpointer user)
{
    ((struct handshake *)user)->is_done = true;
    return G_SOURCE_REMOVE;
}

static gpointer handshake_run(gpointer user)
{
    struct handshake *handshake = user;
    g_autoptr(GSocketClient) client = g_socket_client_new();
    g_autoptr(GSocketConnection) connection =
        g_socket_client_connect_to_host(client, "127.0.0.1", handshake->port, NULL, NULL);
    gnutls_session_t session;
    gnutls_certificate_credentials_t credentials;
    g_assert(connection && !gnutls_init(&session, GNUTLS_CLIENT));
    g_assert(!gnutls_priority_set_direct(session, handshake->priority, NULL));
    g_assert(!gnutls_certificate_allocate_credentials(&credentials));
    g_assert(!gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, credentials));
    gnutls_transport_set_int(session, g_socket_get_fd(g_socket_connection_get_socket(connection)));
    do
        handshake->result = gnutls_handshake(session);
    while (handshake->result < 0 && !gnutls_error_is_fatal(handshake->result));
    gnutls_deinit(session);
    gnutls_certificate_free_credentials(credentials);
    (void)g_idle_add(handshake_done, handshake);
    return NULL;
}

static int shake_hands(uint16_t port, const char *priority)
{
    struct handshake handshake = {.port = port, .priority = priority};
    GThread *thread = g_thread_new("handshake", handshake_run, &handshake);
    wait_for(&handshake.is_done);
    (void)g_thread_join(thread);
    return handshake.result;
}

static void tls_before_1_2_is_refused(void **state)
{
    struct peers *peers = *state;
    assert_int_equal(shake_hands(peers->port, "NORMAL:-VERS-ALL:+VERS-TLS1.3"), 0);
    assert_int_equal(shake_hands(peers->port, "NORMAL:-VERS-ALL:+VERS-TLS1.2"), 0);
    assert_int_not_equal(shake_hands(peers->port, "NORMAL:-VERS-ALL:+VERS-TLS1.1"), 0);
    assert_int_not_equal(shake_hands(peers->port, "NORMAL:-VERS-ALL:+VERS-TLS1.0"), 0);
}

#define PROMISE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PROMISE(a_host_is_known_by_its_certificate),
        PROMISE(a_request_that_is_sent_again_shows_the_certificate_again),
        PROMISE(a_stranger_certificate_is_refused),
        PROMISE(without_a_certificate_only_enrolment_is_open),
        PROMISE(the_unix_socket_is_no_host),
        PROMISE(a_server_of_another_authority_is_refused),
        PROMISE(a_server_of_another_name_is_refused),
        PROMISE(enrolment_needs_the_right_fingerprint),
        PROMISE(a_borrowed_authority_in_the_chain_is_not_enough),
        PROMISE(a_new_certificate_serves_new_connections),
        PROMISE(tls_before_1_2_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
