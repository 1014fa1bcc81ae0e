/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/identity.h"
#include "agent/renew.h"
#include "http/http.h"

#include <glib/gstdio.h>
#include <string.h>

#define DAY 86400

static void a_certificate_is_due_with_a_third_of_its_life_left(void **state)
{
    (void)state;
    assert_int_equal(renewal_due_s(0, 300 * DAY), 200 * DAY);
    /* Not due yet: looked at once a day at least, because the clock may be set. */
    assert_int_equal(renewal_wait_s(0, 300 * DAY, 10 * DAY), DAY);
    assert_int_equal(renewal_wait_s(0, 300 * DAY, 200 * DAY - 3600), 3600);
    /* Due: once a day while there is time, more often when there is little. */
    assert_int_equal(renewal_wait_s(0, 300 * DAY, 200 * DAY), DAY);
    assert_int_equal(renewal_wait_s(0, 300 * DAY, 299 * DAY), DAY / 4);
    assert_int_equal(renewal_wait_s(0, 300 * DAY, 300 * DAY - 1), 60);
    /* Over: asking is of no use, saying so is. */
    assert_int_equal(renewal_wait_s(0, 300 * DAY, 301 * DAY), DAY);
}

struct fixture {
    struct agent_config config;
    char *cert, *key, *ca, *ca_key;
};

static void make(struct fixture *fixture)
{
    struct err err = {0};
    g_autofree char *csr = NULL;
    g_autofree char *folder = g_dir_make_tmp("agent-identity-XXXXXX", NULL);
    (void)g_strlcpy(fixture->config.name, "h1", sizeof fixture->config.name);
    (void)g_strlcpy(fixture->config.state_dir, folder, sizeof fixture->config.state_dir);
    assert_int_equal(http_ca_new("test CA", &fixture->ca, &fixture->ca_key, &err), 0);
    assert_int_equal(http_csr_new("h1", &csr, &fixture->key, &err), 0);
    assert_int_equal(http_csr_sign(csr, &(struct http_identity){"h1", NULL, 48},
                                   &(struct http_authority){fixture->ca, fixture->ca_key}, &fixture->cert,
                                   &err),
                     0);
}

static char *path_of(const struct fixture *fixture, const char *file)
{
    return g_build_filename(fixture->config.state_dir, "tls", file, NULL);
}

static void clear(struct fixture *fixture)
{
    static const char *const files[] = {"identity.json", "agent.crt", "agent.key", "ca.crt", ""};
    for (size_t i = 0; i < G_N_ELEMENTS(files); i++) {
        g_autofree char *path = path_of(fixture, files[i]);
        (void)g_remove(path);
    }
    (void)g_rmdir(fixture->config.state_dir);
    g_free(fixture->cert);
    g_free(fixture->key);
    g_free(fixture->ca);
    g_free(fixture->ca_key);
}

static void write_old(const struct fixture *fixture)
{
    const char *const old[][2] = {
        {"agent.crt", fixture->cert}, {"agent.key", fixture->key}, {"ca.crt", fixture->ca}};
    g_autofree char *folder = path_of(fixture, "");
    (void)g_mkdir_with_parents(folder, 0700);
    for (size_t i = 0; i < G_N_ELEMENTS(old); i++) {
        g_autofree char *path = path_of(fixture, old[i][0]);
        assert_true(g_file_set_contents(path, old[i][1], -1, NULL));
    }
}

static void an_identity_of_an_earlier_version_is_taken_over(void **state)
{
    (void)state;
    struct fixture fixture = {0};
    struct identity identity;
    struct err err = {0};
    make(&fixture);
    assert_int_equal(identity_load(&fixture.config, &identity, &err), -1);
    assert_string_equal(err.id, "not-enrolled");
    identity_clear(&identity);
    write_old(&fixture);
    err_clear(&err);
    assert_int_equal(identity_load(&fixture.config, &identity, &err), 0);
    assert_string_equal(identity.manager_url, "");
    assert_int_equal(identity.until_s - identity.from_s, 3 * DAY);
    identity_clear(&identity);
    const struct identity_text text = {"https://m:1", fixture.cert, fixture.key, fixture.ca};
    assert_int_equal(identity_store(&fixture.config, &text, &err), 0);
    /* One place only: what is left of the old form would come back if the new one were lost. */
    g_autofree char *old = path_of(&fixture, "agent.key");
    assert_false(g_file_test(old, G_FILE_TEST_EXISTS));
    assert_int_equal(identity_load(&fixture.config, &identity, &err), 0);
    assert_string_equal(identity.manager_url, "https://m:1");
    identity_clear(&identity);
    clear(&fixture);
}

static void what_cannot_be_used_replaces_nothing(void **state)
{
    (void)state;
    struct fixture fixture = {0};
    struct identity identity;
    struct err err = {0};
    make(&fixture);
    const struct identity_text good = {"https://m:1", fixture.cert, fixture.key, fixture.ca};
    const struct identity_text bad = {"https://m:2", fixture.cert, "no key", fixture.ca};
    assert_int_equal(identity_store(&fixture.config, &good, &err), 0);
    assert_int_equal(identity_store(&fixture.config, &bad, &err), -1);
    err_clear(&err);
    assert_int_equal(identity_load(&fixture.config, &identity, &err), 0);
    assert_string_equal(identity.manager_url, "https://m:1");
    identity_clear(&identity);
    clear(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_certificate_is_due_with_a_third_of_its_life_left),
        cmocka_unit_test(an_identity_of_an_earlier_version_is_taken_over),
        cmocka_unit_test(what_cannot_be_used_replaces_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
