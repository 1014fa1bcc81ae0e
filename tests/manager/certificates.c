/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "harness.h"

#include <string.h>

static void answered(JsonObject *object, const struct err *err, void *user)
{
    struct answer *answer = user;
    answer->is_done = true;
    answer->err = *err;
    answer->object = object ? json_object_ref(object) : NULL;
}

static bool is_done(void *user)
{
    return ((struct answer *)user)->is_done;
}

/* POST /v1/renew as the host whose certificate this is; the new key (g_free). */
static struct answer renew(struct harness *harness, const char *certificate_pem, const char *key_pem,
                           char **ret_key_pem)
{
    struct answer answer = {0};
    struct err err = {0};
    g_autoptr(GTlsCertificate) own = NULL;
    g_autoptr(GTlsCertificate) ca = NULL;
    g_autofree char *base = g_strdup_printf("https://127.0.0.1:%u", harness->port);
    g_autofree char *csr = NULL;
    struct http_client *client;
    assert_int_equal(http_cert_load(certificate_pem, key_pem, &own, &err), 0);
    assert_int_equal(http_cert_load(harness->ca_pem, NULL, &ca, &err), 0);
    assert_int_equal(http_csr_new("whoever", &csr, ret_key_pem, &err), 0);
    const struct http_client_config config = {.base = base, .ca = ca, .certificate = own};
    assert_int_equal(http_client_new(&config, &client, &err), 0);
    JsonObject *body = json_object_new();
    json_object_set_string_member(body, "csr", csr);
    http_client_call(client, &(struct http_call){"POST", "/v1/renew", body, 30, NULL}, answered, &answer);
    harness_wait(is_done, &answer, "the answer to a renewal");
    http_client_free(client);
    return answer;
}

static void use(struct fake_agent *agent, const char *certificate_pem, char *key_pem)
{
    g_free(agent->certificate_pem);
    g_free(agent->key_pem);
    agent->certificate_pem = g_strdup(certificate_pem);
    agent->key_pem = key_pem;
}

struct state {
    struct harness *harness;
    const char *wanted;
};

static bool host_is(void *user)
{
    const struct state *state = user;
    struct answer answer = harness_call(state->harness, "GET", "/v1/hosts/h1", NULL);
    bool is_so = answer.object && !strcmp(text_of(answer.object, "state"), state->wanted);
    answer_clear(&answer);
    return is_so;
}

static void wait_host(struct harness *harness, const char *wanted)
{
    struct state state = {harness, wanted};
    harness_wait(host_is, &state, wanted);
}

static void a_certificate_is_renewed_by_the_one_before(void **test)
{
    struct harness *harness = *test;
    struct fake_agent *agent = &harness->source;
    g_autofree char *first = g_strdup(agent->certificate_pem);
    g_autofree char *first_key = g_strdup(agent->key_pem);
    g_autofree char *lost_key = NULL;
    char *key;
    /* The answer of the first call may have been lost: the same certificate still counts. */
    struct answer lost = renew(harness, first, first_key, &lost_key);
    assert_string_equal(lost.err.message, "");
    struct answer kept = renew(harness, first, first_key, &key);
    assert_string_equal(kept.err.message, "");
    assert_string_equal(text_of(kept.object, "name"), "h1");
    use(agent, text_of(kept.object, "certificate"), key);
    fake_agent_stop(agent);
    wait_host(harness, "disconnected");
    fake_agent_start(agent);
    wait_host(harness, "connected");
    /* Now that the new one was seen, neither the first nor the lost one counts. */
    g_autofree char *any = NULL;
    struct answer late = renew(harness, first, first_key, &any);
    assert_string_equal(late.err.id, "certificate-replaced");
    assert_string_equal(err_arg_find(&late.err, "host"), "h1");
    assert_non_null(strstr(late.err.fix, "godwit host enroll h1"));
    g_autofree char *other = NULL;
    struct answer never = renew(harness, text_of(lost.object, "certificate"), lost_key, &other);
    assert_string_equal(never.err.id, "certificate-replaced");
    answer_clear(&lost);
    answer_clear(&kept);
}

static void an_enrolment_ends_the_certificate_before(void **test)
{
    struct harness *harness = *test;
    struct fake_agent *agent = &harness->source;
    struct err err = {0};
    char *key;
    g_autofree char *csr = NULL;
    struct answer token = harness_call(harness, "POST", "/v1/hosts/h1/enroll", NULL);
    assert_string_equal(token.err.message, "");
    assert_int_equal(http_csr_new("h1", &csr, &key, &err), 0);
    g_autofree char *csr_escaped = g_strescape(csr, NULL);
    g_autofree char *body =
        g_strdup_printf("{\"token\":\"%s\",\"csr\":\"%s\"}", text_of(token.object, "token"), csr_escaped);
    wait_host(harness, "connected"); /* the token alone changes nothing */
    struct answer enrolled = harness_call(harness, "POST", "/v1/enroll", body);
    assert_string_equal(enrolled.err.message, "");
    /* The agent still shows the old one, and so might a thief. */
    wait_host(harness, "disconnected");
    g_autofree char *any = NULL;
    struct answer late = renew(harness, agent->certificate_pem, agent->key_pem, &any);
    assert_string_equal(late.err.id, "certificate-replaced");
    harness_kill(harness);
    harness_start(harness); /* and it is not forgotten */
    wait_host(harness, "disconnected");
    use(agent, text_of(enrolled.object, "certificate"), key);
    fake_agent_stop(agent);
    fake_agent_start(agent);
    wait_host(harness, "connected");
    answer_clear(&token);
    answer_clear(&enrolled);
}

static void a_host_that_was_removed_gets_no_certificate(void **test)
{
    struct harness *harness = *test;
    struct fake_agent *agent = &harness->destination;
    struct answer removed = harness_call(harness, "DELETE", "/v1/hosts/h2", NULL);
    assert_string_equal(removed.err.message, "");
    g_autofree char *any = NULL;
    struct answer answer = renew(harness, agent->certificate_pem, agent->key_pem, &any);
    assert_string_equal(answer.err.id, "certificate-replaced");
    assert_non_null(strstr(answer.err.fix, "godwit host add h2"));
    answer_clear(&removed);
}

/* It has a new token, and its old certificate is not worth one. */
static void a_host_that_was_added_again_gets_none_without_its_token(void **test)
{
    struct harness *harness = *test;
    struct fake_agent *agent = &harness->destination;
    struct answer removed = harness_call(harness, "DELETE", "/v1/hosts/h2", NULL);
    assert_string_equal(removed.err.message, "");
    struct answer added =
        harness_call(harness, "POST", "/v1/hosts", "{\"name\":\"h2\",\"address\":\"127.0.0.1\"}");
    assert_string_equal(added.err.message, "");
    g_autofree char *any = NULL;
    struct answer answer = renew(harness, agent->certificate_pem, agent->key_pem, &any);
    assert_string_equal(answer.err.id, "certificate-replaced");
    assert_non_null(strstr(answer.err.fix, "godwit host enroll h2"));
    answer_clear(&removed);
    answer_clear(&added);
}

/* Only the certificate that it showed then, not whatever was ever signed for it. */
static void an_adopted_host_keeps_its_one_certificate(void **test)
{
    struct harness *harness = *test;
    struct fake_agent *agent = &harness->destination;
    g_autofree char *first = g_strdup(agent->certificate_pem);
    g_autofree char *first_key = g_strdup(agent->key_pem);
    char *key;
    struct answer renewed = renew(harness, first, first_key, &key);
    assert_string_equal(renewed.err.message, "");
    use(agent, text_of(renewed.object, "certificate"), key);
    fake_agent_stop(agent);
    fake_agent_start(agent);
    struct answer removed = harness_call(harness, "DELETE", "/v1/hosts/h2", NULL);
    assert_string_equal(removed.err.message, "");
    g_autofree char *body = g_strdup_printf("{\"address\":\"127.0.0.1\",\"port\":%u}", agent->port);
    struct answer adopted = harness_call(harness, "POST", "/v1/hosts/h2/adopt", body);
    assert_string_equal(adopted.err.message, "");
    g_autofree char *any = NULL;
    struct answer late = renew(harness, first, first_key, &any);
    assert_string_equal(late.err.id, "certificate-replaced");
    harness_kill(harness);
    harness_start(harness); /* and it is not forgotten */
    harness_wait_connected(harness, "h2");
    late = renew(harness, first, first_key, &any);
    assert_string_equal(late.err.id, "certificate-replaced");
    answer_clear(&renewed);
    answer_clear(&removed);
    answer_clear(&adopted);
}

static void no_certificate_and_no_token_is_no_renewal(void **test)
{
    struct harness *harness = *test;
    struct answer answer = harness_call(harness, "POST", "/v1/renew", "{\"csr\":\"x\"}");
    assert_string_equal(answer.err.id, "unauthorized");
    answer = harness_call(harness, "POST", "/v1/hosts", "{\"name\":\"godwitd\",\"address\":\"::1\"}");
    assert_string_equal(answer.err.id, "name");
    answer = harness_call(harness, "POST", "/v1/hosts/godwitd/adopt", "{\"address\":\"::1\"}");
    assert_string_equal(answer.err.id, "name");
    assert_true(answer.err.fix[0]);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, harness_setup, harness_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_certificate_is_renewed_by_the_one_before),
        TEST(an_enrolment_ends_the_certificate_before),
        TEST(a_host_that_was_removed_gets_no_certificate),
        TEST(a_host_that_was_added_again_gets_none_without_its_token),
        TEST(an_adopted_host_keeps_its_one_certificate),
        TEST(no_certificate_and_no_token_is_no_renewal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
