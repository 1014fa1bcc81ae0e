/* SPDX-License-Identifier: Apache-2.0 */
#include "http/client.h"

#include <gio/gunixsocketaddress.h>
#include <string.h>

#include "http/tls.h"
#include "model/move.h"
#include "model/protocol.h"

#define CONNECTIONS_MAX 32
#define IDLE_S 60
#define HTTPS_PORT 443

static int check_base(const struct http_client_config *config, struct err *err)
{
    g_autoptr(GUri) uri = g_uri_parse(config->base, G_URI_FLAGS_NONE, NULL);
    if (!uri || strcmp(g_uri_get_scheme(uri), "https") || !g_uri_get_host(uri) || !*g_uri_get_host(uri) ||
        strcmp(g_uri_get_path(uri), "") || g_uri_get_query(uri) || g_uri_get_userinfo(uri))
        return err_set(err, ERR_BAD_REQUEST, "address-invalid",
                       "\"%s\" must be https://HOST:PORT or unix:/PATH", config->base);
    if (!config->ca && !config->ca_fingerprint)
        return err_set(err, ERR_INTERNAL, "no-trust",
                       "%s needs a certificate authority or its fingerprint to be trusted", config->base);
    return 0;
}

/* NULL if the host is a name. With an address as the destination no server name is sent in the handshake: RFC
 * 6066 allows none for numbers, and servers end the connection at the colons of IPv6. */
static GSocketConnectable *numeric_address(const char *base)
{
    g_autoptr(GUri) uri = g_uri_parse(base, G_URI_FLAGS_NONE, NULL);
    int port = g_uri_get_port(uri);
    GSocketAddress *address =
        g_inet_socket_address_new_from_string(g_uri_get_host(uri), (guint)(port > 0 ? port : HTTPS_PORT));
    return address ? G_SOCKET_CONNECTABLE(address) : NULL;
}

int http_client_new(const struct http_client_config *config, struct http_client **ret_client, struct err *err)
{
    tls_init();
    bool is_unix = g_str_has_prefix(config->base, "unix:/");
    if (!is_unix && check_base(config, err))
        return -1;
    struct http_client *client = g_new0(struct http_client, 1);
    client->peer = g_strdup(config->called ? config->called : config->base);
    client->url = g_strdup(is_unix ? "http://localhost" : config->base);
    client->address = is_unix
                          ? G_SOCKET_CONNECTABLE(g_unix_socket_address_new(config->base + strlen("unix:")))
                          : numeric_address(config->base);
    client->token = g_strdup(config->token);
    client->ca = config->ca ? g_object_ref(config->ca) : NULL;
    client->ca_fingerprint = config->ca_fingerprint ? g_ascii_strdown(config->ca_fingerprint, -1) : NULL;
    client->certificate = config->certificate ? g_object_ref(config->certificate) : NULL;
    client->expected_name = g_strdup(config->expected_name);
    client->protocol = config->protocol;
    client->accepts = config->accepts;
    client->accepts_user = config->accepts_user;
    g_queue_init(&client->calls);
    *ret_client = client;
    return 0;
}

void http_client_set_certificate(struct http_client *client, GTlsCertificate *certificate)
{
    g_set_object(&client->certificate, certificate);
    g_clear_object(&client->session);
}

SoupSession *client_session_new(const struct http_client *client)
{
    SoupSession *session =
        soup_session_new_with_options("remote-connectable", client->address, "max-conns", CONNECTIONS_MAX,
                                      "max-conns-per-host", CONNECTIONS_MAX, "idle-timeout", IDLE_S, NULL);
    /* Hosts talk to each other directly, whatever the environment says of proxies. */
    soup_session_set_proxy_resolver(session, NULL);
    /* No system roots: without a database each certificate is unknown and trust.c decides. */
    soup_session_set_tls_database(session, NULL);
    return session;
}

/* The library forgets the certificate with the first connection of a message, and sends one whose connection
 * has ended again over another: that would belong to nobody, and later requests would go over it as well. */
static gboolean on_certificate_wanted(SoupMessage *msg, GTlsClientConnection *connection, gpointer user)
{
    (void)connection;
    soup_message_set_tls_client_certificate(msg, user);
    return TRUE;
}

static void show_certificate(SoupMessage *msg, GTlsCertificate *certificate)
{
    soup_message_set_tls_client_certificate(msg, certificate);
    g_signal_connect_data(msg, "request-certificate", G_CALLBACK(on_certificate_wanted),
                          g_object_ref(certificate), (GClosureNotify)(void (*)(void))g_object_unref, 0);
}

SoupMessage *client_message_new(const struct http_client *client, const char *method, const char *path,
                                JsonObject *body, struct distrust *distrust)
{
    g_autofree char *url = g_strconcat(client->url, path, NULL);
    g_autoptr(JsonObject) taken = body;
    SoupMessage *msg = soup_message_new(method, url);
    if (!msg)
        return NULL;
    /* A redirection could carry the token elsewhere. */
    soup_message_add_flags(msg, SOUP_MESSAGE_NO_REDIRECT);
    SoupMessageHeaders *headers = soup_message_get_request_headers(msg);
    soup_message_headers_replace(headers, "Accept", "application/json");
    if (client->protocol) {
        g_autofree char *version = g_strdup_printf("%u", client->protocol);
        soup_message_headers_replace(headers, PROTOCOL_HEADER, version);
    }
    if (client->token) {
        g_autofree char *value = g_strconcat("Bearer ", client->token, NULL);
        soup_message_headers_replace(headers, "Authorization", value);
    }
    if (taken) {
        char *text = model_print(taken, false);
        g_autoptr(GBytes) bytes = g_bytes_new_take(text, strlen(text));
        soup_message_set_request_body_from_bytes(msg, "application/json", bytes);
    }
    if (client->certificate)
        show_certificate(msg, client->certificate);
    trust_watch(client, msg, distrust);
    return msg;
}

int client_failed(const struct http_client *client, const GError *error, const struct distrust *distrust,
                  struct err *err)
{
    if (*distrust->why) {
        (void)err_set(err, ERR_UNAUTHORIZED, "peer-not-trusted", "%s is not trusted: %s", client->peer,
                      distrust->why);
        (void)err_arg(err, "peer", "%s", client->peer);
        (void)err_arg(err, "reason", "%s", distrust->why);
        return err_fix(err, "check that the address is right, and that both sides belong to one cluster");
    }
    (void)err_set(err, ERR_PEER_LOST, "peer-lost", "no connection to %s", client->peer);
    (void)err_arg(err, "peer", "%s", client->peer);
    return err_cause(err, "%s", error->message);
}

int client_path_invalid(const struct http_client *client, struct err *err)
{
    return err_set(err, ERR_BAD_REQUEST, "path-invalid", "the path of a request to %s is not usable",
                   client->peer);
}
