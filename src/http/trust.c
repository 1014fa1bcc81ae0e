/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "http/cert.h"
#include "http/client.h"

struct watch {
    GTlsCertificate *ca;
    char *ca_fingerprint;
    char *expected_name;
    bool (*accepts)(const char *fingerprint, void *user);
    void *accepts_user;
    struct distrust *distrust;
};

static void free_watch(gpointer data, GClosure *closure)
{
    struct watch *watch = data;
    (void)closure;
    g_clear_object(&watch->ca);
    g_free(watch->ca_fingerprint);
    g_free(watch->expected_name);
    g_free(watch);
}

/* The certificate of the server's chain that has the pinned fingerprint (borrowed), or NULL. */
static GTlsCertificate *find_pinned(GTlsCertificate *certificate, const char *fingerprint)
{
    for (; certificate; certificate = g_tls_certificate_get_issuer(certificate)) {
        char hex[65];
        cert_fingerprint(certificate, hex);
        if (!strcmp(hex, fingerprint))
            return certificate;
    }
    return NULL;
}

static const char *judge(const struct watch *watch, GTlsCertificate *certificate)
{
    char name[CERT_NAME_MAX];
    GTlsCertificate *ca = watch->ca;
    if (watch->ca_fingerprint) {
        ca = find_pinned(certificate, watch->ca_fingerprint);
        if (!ca)
            return "its certificate authority does not have the fingerprint that was given";
    }
    char fingerprint[65];
    const char *why = ca ? cert_distrust(certificate, ca) : "no certificate authority is known";
    if (why)
        return why;
    if (watch->expected_name && (!cert_common_name(certificate, name) || strcmp(name, watch->expected_name)))
        return "its certificate carries another name";
    cert_fingerprint(certificate, fingerprint);
    if (watch->accepts && !watch->accepts(fingerprint, watch->accepts_user))
        return "its certificate was replaced by a later one";
    return NULL;
}

static gboolean on_certificate(SoupMessage *msg, GTlsCertificate *certificate, GTlsCertificateFlags errors,
                               struct watch *watch)
{
    (void)msg, (void)errors;
    const char *why = judge(watch, certificate);
    if (why)
        (void)snprintf(watch->distrust->why, sizeof watch->distrust->why, "%s", why);
    return !why;
}

void trust_watch(const struct http_client *client, SoupMessage *msg, struct distrust *distrust)
{
    struct watch *watch = g_new0(struct watch, 1);
    watch->ca = client->ca ? g_object_ref(client->ca) : NULL;
    watch->ca_fingerprint = g_strdup(client->ca_fingerprint);
    watch->expected_name = g_strdup(client->expected_name);
    watch->accepts = client->accepts;
    watch->accepts_user = client->accepts_user;
    watch->distrust = distrust;
    (void)g_signal_connect_data(msg, "accept-certificate", G_CALLBACK(on_certificate), watch, free_watch, 0);
}
