/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "http/cert.h"
#include "peers.h"

static void an_issued_certificate_descends_from_its_authority_only(void **state)
{
    (void)state;
    struct authority ours, theirs;
    char name[CERT_NAME_MAX];
    authority_init(&ours, "Cluster");
    authority_init(&theirs, "Cluster"); /* the same name, another key */
    g_autoptr(GTlsCertificate) certificate = authority_issue(&ours, "host-1");
    assert_null(cert_distrust(certificate, ours.certificate));
    assert_non_null(cert_distrust(certificate, theirs.certificate));
    assert_true(cert_common_name(certificate, name));
    assert_string_equal(name, "host-1");
    authority_clear(&ours);
    authority_clear(&theirs);
}

static void a_host_cannot_issue_certificates(void **state)
{
    (void)state;
    struct authority ca;
    g_autofree char *csr = NULL, *key = NULL, *cert = NULL, *csr2 = NULL, *key2 = NULL, *cert2 = NULL;
    authority_init(&ca, "Cluster");
    assert_int_equal(http_csr_new("host-1", &csr, &key, NULL), 0);
    assert_int_equal(http_csr_sign(csr, &(struct http_identity){"host-1", NULL, 30},
                                   &(struct http_authority){ca.cert_pem, ca.key_pem}, &cert, NULL),
                     0);
    assert_int_equal(http_csr_new("manager", &csr2, &key2, NULL), 0);
    assert_int_equal(http_csr_sign(csr2, &(struct http_identity){"manager", NULL, 30},
                                   &(struct http_authority){cert, key}, &cert2, NULL),
                     0);
    g_autofree char *chain = g_strconcat(cert2, cert, ca.cert_pem, NULL);
    g_autoptr(GTlsCertificate) forged = NULL;
    assert_int_equal(http_cert_load(chain, key2, &forged, NULL), 0);
    assert_non_null(cert_distrust(forged, ca.certificate));
    authority_clear(&ca);
}

static void the_signer_chooses_the_name(void **state)
{
    (void)state;
    struct authority ca;
    g_autofree char *csr = NULL, *key = NULL, *cert = NULL;
    g_autoptr(GTlsCertificate) certificate = NULL;
    char name[CERT_NAME_MAX];
    authority_init(&ca, "Cluster");
    assert_int_equal(http_csr_new("manager", &csr, &key, NULL), 0);
    assert_int_equal(http_csr_sign(csr, &(struct http_identity){"host-1", NULL, 30},
                                   &(struct http_authority){ca.cert_pem, ca.key_pem}, &cert, NULL),
                     0);
    assert_int_equal(http_cert_load(cert, key, &certificate, NULL), 0);
    assert_true(cert_common_name(certificate, name));
    assert_string_equal(name, "host-1");
    authority_clear(&ca);
}

static void an_expired_certificate_is_refused_with_that_reason(void **state)
{
    (void)state;
    struct authority ca;
    g_autofree char *csr = NULL, *key = NULL, *cert = NULL;
    g_autoptr(GTlsCertificate) certificate = NULL;
    authority_init(&ca, "Cluster");
    assert_int_equal(http_csr_new("h", &csr, &key, NULL), 0);
    assert_int_equal(http_csr_sign(csr, &(struct http_identity){"h", NULL, 0},
                                   &(struct http_authority){ca.cert_pem, ca.key_pem}, &cert, NULL),
                     0);
    assert_int_equal(http_cert_load(cert, key, &certificate, NULL), 0);
    /* Valid for no day: its end is this second, which has to pass. */
    gint64 end = g_get_monotonic_time() + 2 * G_USEC_PER_SEC;
    while (!cert_distrust(certificate, ca.certificate) && g_get_monotonic_time() < end)
        g_usleep(50000);
    assert_string_equal(cert_distrust(certificate, ca.certificate), "it has expired");
    authority_clear(&ca);
}

static void a_malformed_request_is_refused(void **state)
{
    (void)state;
    struct authority ca;
    char *cert = NULL;
    struct err err = {0};
    authority_init(&ca, "Cluster");
    assert_int_equal(http_csr_sign("not PEM", &(struct http_identity){"h", NULL, 1},
                                   &(struct http_authority){ca.cert_pem, ca.key_pem}, &cert, &err),
                     -1);
    assert_int_equal(err.code, ERR_BAD_REQUEST);
    assert_string_equal(err.id, "csr-invalid");
    char *csr = NULL, *key = NULL;
    assert_int_equal(http_csr_new("", &csr, &key, &err), -1);
    assert_string_equal(err.id, "common-name-invalid");
    authority_clear(&ca);
}

static void the_fingerprint_is_the_one_other_tools_show(void **state)
{
    (void)state;
    struct authority ca;
    char ours[65];
    g_autofree char *output = NULL;
    authority_init(&ca, "Cluster");
    assert_int_equal(http_cert_fingerprint(ca.cert_pem, ours, NULL), 0);
    g_autofree char *path = NULL;
    int fd = g_file_open_tmp("test-http-XXXXXX", &path, NULL);
    assert_int_equal(write(fd, ca.cert_pem, strlen(ca.cert_pem)), strlen(ca.cert_pem));
    assert_int_equal(close(fd), 0);
    g_autofree char *command = g_strdup_printf("openssl x509 -noout -fingerprint -sha256 -in %s", path);
    assert_true(g_spawn_command_line_sync(command, &output, NULL, NULL, NULL));
    (void)unlink(path);
    g_autofree char *plain = g_ascii_strdown(strchr(output, '=') + 1, -1);
    char *to = plain;
    for (const char *from = plain; *from; from++)
        if (g_ascii_isxdigit(*from))
            *to++ = *from;
    *to = '\0';
    assert_string_equal(ours, plain);
    authority_clear(&ca);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_issued_certificate_descends_from_its_authority_only),
        cmocka_unit_test(a_host_cannot_issue_certificates),
        cmocka_unit_test(the_signer_chooses_the_name),
        cmocka_unit_test(an_expired_certificate_is_refused_with_that_reason),
        cmocka_unit_test(a_malformed_request_is_refused),
        cmocka_unit_test(the_fingerprint_is_the_one_other_tools_show),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
