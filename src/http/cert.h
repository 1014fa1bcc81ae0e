/* SPDX-License-Identifier: Apache-2.0 */
/* Private to http/: what is read out of certificates. */
#ifndef HTTP_CERT_H
#define HTTP_CERT_H

#include <gio/gio.h>
#include <stdbool.h>

#define CERT_NAME_MAX 65 /* the longest common name X.520 allows, and its end */

/* False if the certificate has no usable common name. */
bool cert_common_name(GTlsCertificate *certificate, char ret_name[CERT_NAME_MAX]);
/* Hex SHA-256 of the DER form. */
void cert_fingerprint(GTlsCertificate *certificate, char ret_hex[65]);
/* Why `certificate` does not descend from `ca` today, in words; NULL if it does. */
const char *cert_distrust(GTlsCertificate *certificate, GTlsCertificate *ca);

#endif
