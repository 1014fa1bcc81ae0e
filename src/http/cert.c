/* SPDX-License-Identifier: Apache-2.0 */
#include "http/cert.h"

#include <gnutls/x509.h>
#include <string.h>

#include "http/http.h"

static GByteArray *der_of(GTlsCertificate *certificate)
{
    GByteArray *der = NULL;
    g_object_get(certificate, "certificate", &der, NULL);
    return der;
}

void cert_fingerprint(GTlsCertificate *certificate, char ret_hex[65])
{
    g_autoptr(GByteArray) der = der_of(certificate);
    g_autofree char *hex = g_compute_checksum_for_data(G_CHECKSUM_SHA256, der->data, der->len);
    memcpy(ret_hex, hex, 65);
}

bool cert_common_name(GTlsCertificate *certificate, char ret_name[CERT_NAME_MAX])
{
    g_autoptr(GByteArray) der = der_of(certificate);
    gnutls_datum_t data = {der->data, der->len};
    gnutls_x509_crt_t crt;
    size_t size = CERT_NAME_MAX;
    bool found = false;
    if (gnutls_x509_crt_init(&crt))
        return false;
    if (!gnutls_x509_crt_import(crt, &data, GNUTLS_X509_FMT_DER) &&
        !gnutls_x509_crt_get_dn_by_oid(crt, GNUTLS_OID_X520_COMMON_NAME, 0, 0, ret_name, &size))
        /* A name with a zero byte inside would read as a shorter one. */
        found = size && strlen(ret_name) == size;
    gnutls_x509_crt_deinit(crt);
    return found;
}

const char *cert_distrust(GTlsCertificate *certificate, GTlsCertificate *ca)
{
    GTlsCertificateFlags flags = g_tls_certificate_verify(certificate, NULL, ca);
    if (!flags)
        return NULL;
    if (flags & G_TLS_CERTIFICATE_UNKNOWN_CA)
        return "it is not signed by our certificate authority";
    if (flags & G_TLS_CERTIFICATE_EXPIRED)
        return "it has expired";
    if (flags & G_TLS_CERTIFICATE_NOT_ACTIVATED)
        return "it is not valid yet: compare the clocks of both hosts";
    return "it is revoked, insecure or malformed";
}

int http_cert_load(const char *cert_pem, const char *key_pem, GTlsCertificate **ret_certificate,
                   struct err *err)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *both = g_strdup_printf("%s\n%s", cert_pem, key_pem ? key_pem : "");
    GTlsCertificate *certificate = g_tls_certificate_new_from_pem(both, -1, &error);
    if (!certificate) {
        (void)err_set(err, ERR_BAD_REQUEST, "certificate-unreadable",
                      "cannot read the certificate%s from its PEM text", key_pem ? " and its key" : "");
        return err_cause(err, "%s", error->message);
    }
    g_autofree char *key = NULL;
    g_object_get(certificate, "private-key-pem", &key, NULL);
    if (key_pem && !key) {
        g_object_unref(certificate);
        return err_set(err, ERR_BAD_REQUEST, "certificate-unreadable",
                       "there is no key in the key's PEM text");
    }
    *ret_certificate = certificate;
    return 0;
}

int http_cert_life(GTlsCertificate *certificate, int64_t *ret_from_s, int64_t *ret_until_s, struct err *err)
{
    g_autoptr(GDateTime) from = g_tls_certificate_get_not_valid_before(certificate);
    g_autoptr(GDateTime) until = g_tls_certificate_get_not_valid_after(certificate);
    if (!from || !until)
        return err_set(err, ERR_CORRUPT, "certificate-unreadable", "a certificate has no dates");
    *ret_from_s = g_date_time_to_unix(from);
    *ret_until_s = g_date_time_to_unix(until);
    return 0;
}

int http_cert_fingerprint(const char *cert_pem, char ret_hex[65], struct err *err)
{
    g_autoptr(GTlsCertificate) certificate = NULL;
    if (http_cert_load(cert_pem, NULL, &certificate, err))
        return -1;
    cert_fingerprint(certificate, ret_hex);
    return 0;
}
