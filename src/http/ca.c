/* SPDX-License-Identifier: Apache-2.0 */
/* Making keys, requests and certificates. All are EC P-256 with SHA-256 signatures. */
#include <arpa/inet.h>
#include <gnutls/abstract.h>
#include <gnutls/x509.h>
#include <string.h>
#include <time.h>

#include "base/fdio.h"
#include "http/cert.h"
#include "http/http.h"

#define HOUR_S (60 * 60)
#define CA_HOURS (3653 * 24)
#define SERIAL_SIZE 16

G_DEFINE_AUTO_CLEANUP_FREE_FUNC(gnutls_x509_crt_t, gnutls_x509_crt_deinit, NULL)
G_DEFINE_AUTO_CLEANUP_FREE_FUNC(gnutls_x509_crq_t, gnutls_x509_crq_deinit, NULL)
G_DEFINE_AUTO_CLEANUP_FREE_FUNC(gnutls_x509_privkey_t, gnutls_x509_privkey_deinit, NULL)

static int tls_failed(struct err *err, const char *what, int code)
{
    (void)err_set(err, ERR_INTERNAL, "certificate-failed", "cannot %s", what);
    (void)err_arg(err, "what", "%s", what);
    return err_cause(err, "%s", gnutls_strerror(code));
}

/* Takes over the library's buffer. */
static char *take_text(gnutls_datum_t *datum)
{
    char *text = g_strndup((const char *)datum->data, datum->size);
    gnutls_free(datum->data);
    return text;
}

static int key_new(gnutls_x509_privkey_t *ret_key, char **ret_pem, struct err *err)
{
    gnutls_datum_t pem = {0};
    int code = gnutls_x509_privkey_init(ret_key);
    if (code >= 0)
        code = gnutls_x509_privkey_generate(*ret_key, GNUTLS_PK_ECDSA,
                                            GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0);
    if (code >= 0)
        code =
            gnutls_x509_privkey_export2_pkcs8(*ret_key, GNUTLS_X509_FMT_PEM, NULL, GNUTLS_PKCS_PLAIN, &pem);
    if (code < 0)
        return tls_failed(err, "make a key", code);
    *ret_pem = take_text(&pem);
    return 0;
}

/* What every certificate of ours has: version, random serial number, life from yesterday to
 * `until`, common name. */
static int crt_begin(gnutls_x509_crt_t *ret_crt, const char *common_name, time_t until)
{
    uint8_t serial[SERIAL_SIZE];
    fdio_random(serial, sizeof serial);
    serial[0] = (serial[0] & 0x7f) | 0x40; /* positive and of full length */
    int code = gnutls_x509_crt_init(ret_crt);
    if (code >= 0)
        code = gnutls_x509_crt_set_version(*ret_crt, 3);
    if (code >= 0)
        code = gnutls_x509_crt_set_serial(*ret_crt, serial, sizeof serial);
    if (code >= 0)
        code = gnutls_x509_crt_set_activation_time(*ret_crt, time(NULL) - HTTP_CERT_EARLY_S);
    if (code >= 0)
        code = gnutls_x509_crt_set_expiration_time(*ret_crt, until);
    if (code >= 0)
        code = gnutls_x509_crt_set_dn_by_oid(*ret_crt, GNUTLS_OID_X520_COMMON_NAME, 0, common_name,
                                             (unsigned)strlen(common_name));
    return code;
}

static int crt_set_key_id(gnutls_x509_crt_t crt)
{
    uint8_t id[64];
    size_t size = sizeof id;
    int code = gnutls_x509_crt_get_key_id(crt, GNUTLS_KEYID_USE_SHA1, id, &size);
    return code < 0 ? code : gnutls_x509_crt_set_subject_key_id(crt, id, size);
}

static int crt_end(gnutls_x509_crt_t crt, gnutls_x509_crt_t issuer, gnutls_x509_privkey_t issuer_key,
                   char **ret_pem)
{
    gnutls_datum_t pem = {0};
    int code = gnutls_x509_crt_sign2(crt, issuer, issuer_key, GNUTLS_DIG_SHA256, 0);
    if (code >= 0)
        code = gnutls_x509_crt_export2(crt, GNUTLS_X509_FMT_PEM, &pem);
    if (code >= 0)
        *ret_pem = take_text(&pem);
    return code;
}

static int check_common_name(const char *common_name, struct err *err)
{
    if (*common_name && strlen(common_name) < CERT_NAME_MAX)
        return 0;
    (void)err_set(err, ERR_BAD_REQUEST, "common-name-invalid",
                  "the common name of a certificate must be 1 to %d bytes long", CERT_NAME_MAX - 1);
    return err_arg(err, "max", "%d", CERT_NAME_MAX - 1);
}

int http_ca_new(const char *name, char **ret_cert_pem, char **ret_key_pem, struct err *err)
{
    g_auto(gnutls_x509_privkey_t) key = NULL;
    g_auto(gnutls_x509_crt_t) crt = NULL;
    g_autofree char *key_pem = NULL;
    if (check_common_name(name, err) || key_new(&key, &key_pem, err))
        return -1;
    int code = crt_begin(&crt, name, time(NULL) + (time_t)CA_HOURS * HOUR_S);
    if (code >= 0)
        code = gnutls_x509_crt_set_key(crt, key);
    if (code >= 0)
        code = gnutls_x509_crt_set_basic_constraints(crt, 1, 0); /* signs hosts, no further authority */
    if (code >= 0)
        code = gnutls_x509_crt_set_key_usage(crt, GNUTLS_KEY_KEY_CERT_SIGN | GNUTLS_KEY_CRL_SIGN);
    if (code >= 0)
        code = crt_set_key_id(crt);
    if (code >= 0)
        code = crt_end(crt, crt, key, ret_cert_pem);
    if (code < 0)
        return tls_failed(err, "make a certificate authority", code);
    *ret_key_pem = g_steal_pointer(&key_pem);
    return 0;
}

int http_csr_new(const char *common_name, char **ret_csr_pem, char **ret_key_pem, struct err *err)
{
    g_auto(gnutls_x509_privkey_t) key = NULL;
    g_auto(gnutls_x509_crq_t) crq = NULL;
    g_autofree char *key_pem = NULL;
    gnutls_datum_t pem = {0};
    if (check_common_name(common_name, err) || key_new(&key, &key_pem, err))
        return -1;
    int code = gnutls_x509_crq_init(&crq);
    if (code >= 0)
        code = gnutls_x509_crq_set_version(crq, 1);
    if (code >= 0)
        code = gnutls_x509_crq_set_dn_by_oid(crq, GNUTLS_OID_X520_COMMON_NAME, 0, common_name,
                                             (unsigned)strlen(common_name));
    if (code >= 0)
        code = gnutls_x509_crq_set_key(crq, key);
    if (code >= 0)
        code = gnutls_x509_crq_sign2(crq, key, GNUTLS_DIG_SHA256, 0);
    if (code >= 0)
        code = gnutls_x509_crq_export2(crq, GNUTLS_X509_FMT_PEM, &pem);
    if (code < 0)
        return tls_failed(err, "make a certificate signing request", code);
    *ret_csr_pem = take_text(&pem);
    *ret_key_pem = g_steal_pointer(&key_pem);
    return 0;
}

static gnutls_datum_t datum_of(const char *text)
{
    return (gnutls_datum_t){(unsigned char *)text, (unsigned)strlen(text)};
}

/* The request comes from a host that is not trusted yet: its form, its own signature, its key's strength. */
static int csr_load(const char *csr_pem, gnutls_x509_crq_t *ret_crq, struct err *err)
{
    gnutls_datum_t data = datum_of(csr_pem);
    unsigned bits = 0;
    int code = gnutls_x509_crq_init(ret_crq);
    if (code >= 0)
        code = gnutls_x509_crq_import(*ret_crq, &data, GNUTLS_X509_FMT_PEM);
    if (code >= 0)
        code = gnutls_x509_crq_verify(*ret_crq, 0);
    if (code >= 0)
        code = gnutls_x509_crq_get_pk_algorithm(*ret_crq, &bits);
    if (code < 0) {
        (void)err_set(err, ERR_BAD_REQUEST, "csr-invalid",
                      "csr must be a certificate signing request in PEM form");
        return err_cause(err, "%s", gnutls_strerror(code));
    }
    if (gnutls_pk_bits_to_sec_param((gnutls_pk_algorithm_t)code, bits) < GNUTLS_SEC_PARAM_MEDIUM)
        return err_set(err, ERR_BAD_REQUEST, "csr-weak",
                       "csr must have a key of at least 256 bits (EC) or 2048 (RSA)");
    return 0;
}

static int issuer_load(const char *ca_cert_pem, const char *ca_key_pem, gnutls_x509_crt_t *ret_ca,
                       gnutls_x509_privkey_t *ret_key)
{
    gnutls_datum_t cert = datum_of(ca_cert_pem), key = datum_of(ca_key_pem);
    int code = gnutls_x509_crt_init(ret_ca);
    if (code >= 0)
        code = gnutls_x509_crt_import(*ret_ca, &cert, GNUTLS_X509_FMT_PEM);
    if (code >= 0)
        code = gnutls_x509_privkey_init(ret_key);
    if (code >= 0)
        code = gnutls_x509_privkey_import2(*ret_key, &key, GNUTLS_X509_FMT_PEM, NULL, 0);
    return code;
}

static int crt_add_addresses(gnutls_x509_crt_t crt, const char *const *addresses)
{
    int code = 0;
    for (; code >= 0 && addresses && *addresses; addresses++) {
        uint8_t raw[16];
        if (inet_pton(AF_INET, *addresses, raw) == 1)
            code =
                gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_IPADDRESS, raw, 4, GNUTLS_FSAN_APPEND);
        else if (inet_pton(AF_INET6, *addresses, raw) == 1)
            code =
                gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_IPADDRESS, raw, 16, GNUTLS_FSAN_APPEND);
        else
            code = gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_DNSNAME, *addresses,
                                                        (unsigned)strlen(*addresses), GNUTLS_FSAN_APPEND);
    }
    return code;
}

static int crt_take_key(gnutls_x509_crt_t crt, gnutls_x509_crq_t crq)
{
    gnutls_pubkey_t key;
    int code = gnutls_pubkey_init(&key);
    if (code < 0)
        return code;
    code = gnutls_pubkey_import_x509_crq(key, crq, 0);
    if (code >= 0)
        code = gnutls_x509_crt_set_pubkey(crt, key);
    gnutls_pubkey_deinit(key);
    return code;
}

/* Points to the issuer's key, so that a chain is found quickly among several authorities of one name. */
static int crt_set_authority(gnutls_x509_crt_t crt, gnutls_x509_crt_t ca)
{
    uint8_t id[64];
    size_t size = sizeof id;
    int code = gnutls_x509_crt_get_subject_key_id(ca, id, &size, NULL);
    return code < 0 ? code : gnutls_x509_crt_set_authority_key_id(crt, id, size);
}

int http_csr_sign(const char *csr_pem, const struct http_identity *identity,
                  const struct http_authority *authority, char **ret_cert_pem, struct err *err)
{
    g_auto(gnutls_x509_crq_t) crq = NULL;
    g_auto(gnutls_x509_crt_t) ca = NULL;
    g_auto(gnutls_x509_crt_t) crt = NULL;
    g_auto(gnutls_x509_privkey_t) ca_key = NULL;
    if (check_common_name(identity->common_name, err) || csr_load(csr_pem, &crq, err))
        return -1;
    int code = issuer_load(authority->cert_pem, authority->key_pem, &ca, &ca_key);
    if (code < 0)
        return tls_failed(err, "read the certificate authority", code);
    time_t until =
        MIN(time(NULL) + (time_t)identity->hours * HOUR_S, gnutls_x509_crt_get_expiration_time(ca));
    code = crt_begin(&crt, identity->common_name, until);
    /* Only the key is taken from the request; names and rights are ours to give. */
    if (code >= 0)
        code = crt_take_key(crt, crq);
    if (code >= 0)
        code = gnutls_x509_crt_set_basic_constraints(crt, 0, -1);
    if (code >= 0)
        code = gnutls_x509_crt_set_key_usage(crt, GNUTLS_KEY_DIGITAL_SIGNATURE);
    if (code >= 0)
        code = gnutls_x509_crt_set_key_purpose_oid(crt, GNUTLS_KP_TLS_WWW_SERVER, 0);
    if (code >= 0)
        code = gnutls_x509_crt_set_key_purpose_oid(crt, GNUTLS_KP_TLS_WWW_CLIENT, 0);
    if (code >= 0)
        code = crt_add_addresses(crt, identity->addresses);
    if (code >= 0)
        code = crt_set_key_id(crt);
    if (code >= 0)
        code = crt_set_authority(crt, ca);
    if (code >= 0)
        code = crt_end(crt, ca, ca_key, ret_cert_pem);
    return code < 0 ? tls_failed(err, "sign the certificate", code) : 0;
}
