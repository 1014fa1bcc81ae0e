/* SPDX-License-Identifier: Apache-2.0 */
#include "http/cert.h"
#include "http/server.h"

static int check_token(struct http_request *request, struct err *err)
{
    struct http_server *server = request->server;
    const char *header =
        soup_message_headers_get_one(soup_server_message_get_request_headers(request->msg), "Authorization");
    if (!header || g_ascii_strncasecmp(header, "Bearer ", 7)) {
        (void)err_set(err, ERR_UNAUTHORIZED, "unauthorized", "this request needs a token");
        return err_fix(err,
                       "send the header \"Authorization: Bearer TOKEN\"; the command line takes the token "
                       "from GODWIT_TOKEN");
    }
    if (server->config.authorize)
        request->user = server->config.authorize(header + 7, server->config.user);
    request->shows_token = !request->user;
    if (request->user)
        return 0;
    (void)err_set(err, ERR_UNAUTHORIZED, "unauthorized", "the token is not valid");
    return err_fix(err,
                   "send a valid one in the header \"Authorization: Bearer TOKEN\"; the command line takes "
                   "it from GODWIT_TOKEN");
}

static int check_root(struct http_request *request, struct err *err)
{
    GSocket *socket = connection_of(request->msg)->socket;
    g_autoptr(GCredentials) peer =
        g_socket_get_family(socket) == G_SOCKET_FAMILY_UNIX ? g_socket_get_credentials(socket, NULL) : NULL;
    if (peer && g_credentials_get_unix_user(peer, NULL) == 0)
        return 0;
    (void)err_set(err, ERR_UNAUTHORIZED, "not-root", "only root of this machine may ask for this");
    return err_fix(err, "run the command as root");
}

/* The handshake lets every certificate in: it only proves that the client holds its key. Who it is, is
 * decided here, for each request, so that a certificate that expires on an open connection is noticed, and a
 * host whose certificate expired can still enrol and is told why. */
static int check_certificate(struct http_request *request, struct err *err)
{
    GTlsCertificate *certificate = connection_of(request->msg)->shown;
    GTlsCertificate *ca = request->server->config.client_ca;
    char name[CERT_NAME_MAX];
    if (!certificate || !ca) {
        (void)err_set(err, ERR_UNAUTHORIZED, "unauthorized", "this request needs a client certificate");
        return err_fix(err, "connect over TLS with the certificate that enrolment gave to this host");
    }
    const char *why = cert_distrust(certificate, ca);
    if (!why && !cert_common_name(certificate, name))
        why = "it has no common name";
    if (why) {
        (void)err_set(err, ERR_UNAUTHORIZED, "unauthorized", "the client certificate is refused: %s", why);
        (void)err_arg(err, "reason", "%s", why);
        return err_fix(err, "enrol the host again: 'godwit host enroll HOST' at the manager prints how");
    }
    request->user = g_strdup(name);
    return 0;
}

bool http_client_fingerprint(struct http_request *request, char ret_hex[65])
{
    GTlsCertificate *certificate = connection_of(request->msg)->shown;
    if (certificate)
        cert_fingerprint(certificate, ret_hex);
    return certificate != NULL;
}

static int check(struct http_request *request, enum http_access access, struct err *err)
{
    switch (access) {
    case HTTP_OPEN:
        return 0;
    case HTTP_TOKEN:
        return check_token(request, err);
    case HTTP_CLIENT:
        return check_certificate(request, err);
    case HTTP_ROOT:
        return check_root(request, err);
    }
    g_assert_not_reached();
}

int access_check(struct http_request *request, enum http_access access, struct err *err)
{
    if (check(request, access, err))
        return -1;
    if (access != HTTP_OPEN)
        connection_of(request->msg)->is_known = true;
    return 0;
}
