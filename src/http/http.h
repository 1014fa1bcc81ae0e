/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP server and client with JSON bodies, server-sent events and TLS, over libsoup 3. Everything here runs
 * on the thread that iterates the default main context, except http_client_call_sync.
 */
#ifndef HTTP_HTTP_H
#define HTTP_HTTP_H

#include <gio/gio.h>
#include <json-glib/json-glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

#define HTTP_BODY_MAX (1024 * 1024)  /* larger request bodies: 413 */
#define HTTP_HEADERS_MAX (16 * 1024) /* larger headers, the path among them: 431 */
#define HTTP_UNDER_WAY_MAX 256       /* more requests and streams of one user at a time: 429 */

/* ---- server ---- */
struct http_server;
struct http_request;
struct http_stream;

/* Called once per request whose method and path match. It must answer now or later, exactly once, with
 * http_reply, http_fail or http_stream_open. */
typedef void (*http_handler)(struct http_request *request, void *user);

enum http_access {
    HTTP_OPEN,   /* no credentials asked for here; the handler may judge a token in the body (enrolment) */
    HTTP_TOKEN,  /* bearer token accepted by `authorize` */
    HTTP_CLIENT, /* TLS client certificate signed by the CA */
    HTTP_ROOT,   /* a process of root on this machine, through a unix socket */
};

struct http_route {
    const char *method;      /* "GET", "PUT", "POST", "DELETE" */
    const char *path;        /* "/v1/vms/{vm}/start": {name} matches one segment */
    enum http_access access; /* checked before the handler is called; failure: 401 with the error form */
    http_handler handler;
};

struct http_server_config {
    const struct http_route *routes; /* array ends with method == NULL; must outlive the server */
    void *user;                      /* for handlers */
    /* Bearer token -> name of the user (g_free), or NULL to refuse. Only for HTTP_TOKEN routes; may be NULL.
     */
    char *(*authorize)(const char *token, void *user);
    /* NULL: only unix sockets may be added. For enrolment by fingerprint its PEM text must hold the CA's
     * certificate behind the server's own. */
    GTlsCertificate *certificate;
    GTlsCertificate *client_ca; /* asks for and verifies client certificates when set */
};
/* Make servers and clients while the process has one thread: the first one sets an environment variable (TLS
 * versions). */
int http_server_new(const struct http_server_config *config, struct http_server **ret_server,
                    struct err *err);
/* "198.18.1.1", 8443. TLS when the server has a certificate. Port 0 = any; *ret_port (may be NULL) gets the
 * real one. */
int http_server_listen(struct http_server *server, const char *address, uint16_t port, uint16_t *ret_port,
                       struct err *err);
/* A unix socket, mode 0600, no TLS; a stale one is replaced. HTTP_CLIENT routes are refused on it. */
int http_server_listen_unix(struct http_server *server, const char *path, struct err *err);
/* Replaces the certificate for new connections. */
void http_server_set_certificate(struct http_server *server, GTlsCertificate *certificate);
/* Replaces the authority that clients are judged by, also on open connections. */
void http_server_set_client_ca(struct http_server *server, GTlsCertificate *ca);
/* Closes listeners and streams; unlinks unix sockets. NULL ok. */
void http_server_free(struct http_server *server);

const char *http_param(struct http_request *request,
                       const char *name); /* from the path, URL-decoded; NULL if none */
const char *http_query(struct http_request *request, const char *name); /* NULL if absent */
/* The name of a query member that is not among `names` (NULL-terminated), or NULL. */
const char *http_query_other(struct http_request *request, const char *const *names);
const char *http_header(struct http_request *request, const char *name); /* NULL if absent */
const char *
http_user(struct http_request *request); /* from authorize, or the certificate's common name; NULL if open */
/* The `user` of the server; not after http_server_free. */
void *http_server_user(const struct http_request *request);
/* Hex SHA-256 of the client's certificate; false if it showed none. */
bool http_client_fingerprint(struct http_request *request, char ret_hex[65]);
/* The JSON object in the body (owned by the request); ERR_BAD_REQUEST if it is none. An empty body gives an
 * empty object. */
int http_body(struct http_request *request, JsonObject **ret_object, struct err *err);
/* Answers. `object` is consumed (may be NULL: empty object). */
void http_reply(struct http_request *request, int status, JsonObject *object);
void http_reply_text(struct http_request *request, int status, const char *content_type, const char *text,
                     gssize length);
/* {"error":{...}} with the status that goes with the code. */
void http_fail(struct http_request *request, const struct err *err);
/* Turns the request into a stream of server-sent events. `closed` is called once when the client went away,
 * was cut off, or the server ends: from the main loop or http_server_free, never from inside another call;
 * the stream is gone when it returns. */
struct http_stream *http_stream_open(struct http_request *request,
                                     void (*closed)(struct http_stream *stream, void *user), void *user);
/* One event; `object` consumed. A client that does not read is cut off after 1 MiB. */
void http_stream_send(struct http_stream *stream, const char *event, uint64_t id, JsonObject *object);
/* Calls `written` once, from the main loop, when all that was sent is written; never if the client is lost.
 */
void http_stream_when_written(struct http_stream *stream,
                              void (*written)(struct http_stream *stream, void *user));
/* Ends and frees the stream; `closed` is not called any more. */
void http_stream_end(struct http_stream *stream);

/* ---- client ---- */
struct http_client;
struct http_client_config {
    const char *base;   /* "https://198.18.1.1:8443" or "unix:/run/godwit-manager/godwitd.sock" */
    const char *called; /* what errors call the server: "host 'h2' (198.18.1.12 port 8443)"; NULL: `base` */
    const char *token;  /* bearer token or NULL */
    GTlsCertificate
        *ca; /* only this issuer is trusted; NULL only for unix sockets or with `ca_fingerprint` */
    const char *ca_fingerprint;   /* enrolment: hex SHA-256 of the CA certificate (DER) that must be in the
                                     server's chain; or NULL */
    GTlsCertificate *certificate; /* client certificate with key, or NULL */
    const char *expected_name;    /* the server's certificate must carry this as common name; NULL: any name
                                     below the CA */
    uint32_t protocol;            /* of the caller, sent in PROTOCOL_HEADER (model/protocol.h); 0: not sent */
    /* Asked about a server that is trusted otherwise, with the hex SHA-256 of its certificate; NULL: any.
     * Called on the thread that calls. */
    bool (*accepts)(const char *fingerprint, void *user);
    void *accepts_user;
};
int http_client_new(const struct http_client_config *config, struct http_client **ret_client,
                    struct err *err);
/* Later calls show this certificate, on new connections; running ones end as they began. Main-loop thread. */
void http_client_set_certificate(struct http_client *client, GTlsCertificate *certificate);
void http_client_free(
    struct http_client *client); /* running calls end with ERR_CANCELLED before this returns */

/* err is set (err_is_set) or `object` holds the answer (borrowed; NULL if the body was empty). An {"error":…}
 * answer arrives as err, as the peer sent it; if it says more beside the error, `object` is the whole answer
 * as well. No connection: ERR_PEER_LOST with the address in the message; a server that is not the trusted
 * one: ERR_UNAUTHORIZED, id "peer-not-trusted"; no answer in time: ERR_TIMEOUT; an answer that is no JSON
 * object or larger than 16 MiB: ERR_CORRUPT. */
typedef void (*http_done)(JsonObject *object, const struct err *err, void *user);
struct http_call {
    const char *method;
    const char *path;
    JsonObject *body; /* consumed, may be NULL */
    /* 0 = none. Counted in seconds in which this process ran: one that was stopped hears the answer first. */
    unsigned timeout_s;
    GCancellable *cancel; /* may be NULL; not for the blocking form */
};
/* Main-loop thread. `call` is not kept. */
void http_client_call(struct http_client *client, const struct http_call *call, http_done done, void *user);
/* The same, blocking, for command lines: iterates a private context. *ret_object (transfer full) may be NULL
 * if the body was empty, and on failure hardly ever is anything else. */
int http_client_call_sync(struct http_client *client, const struct http_call *call, JsonObject **ret_object,
                          struct err *err);
/* Reads server-sent events, blocking, until the stream ends (0), `event` returns false (0) or it fails (-1).
 */
int http_client_events_sync(struct http_client *client, const char *path,
                            bool (*event)(const char *name, JsonObject *object, void *user), void *user,
                            struct err *err);

/* ---- certificates (GnuTLS; EC P-256, PEM) ---- */
/* A CA for a new manager: certificate and key as PEM text (g_free). Valid 10 years. */
int http_ca_new(const char *name, char **ret_cert_pem, char **ret_key_pem, struct err *err);
/* A key pair and its signing request. */
int http_csr_new(const char *common_name, char **ret_csr_pem, char **ret_key_pem, struct err *err);
/* A certificate's life begins this long before it is signed: clocks of hosts differ. */
#define HTTP_CERT_EARLY_S (24 * 60 * 60)
/* Who a certificate is for. */
struct http_identity {
    const char *common_name;      /* whatever the request says */
    const char *const *addresses; /* NULL-terminated, numeric or names: alternative names; may be NULL */
    unsigned hours;               /* of validity from now */
};
struct http_authority {
    const char *cert_pem;
    const char *key_pem;
};
/* Signs a request; the certificate serves as a server's and as a client's. */
int http_csr_sign(const char *csr_pem, const struct http_identity *identity,
                  const struct http_authority *authority, char **ret_cert_pem, struct err *err);
/* Hex SHA-256 of the DER form of a PEM certificate. */
int http_cert_fingerprint(const char *cert_pem, char ret_hex[65], struct err *err);
/* Its life, in seconds since 1970 UTC. */
int http_cert_life(GTlsCertificate *certificate, int64_t *ret_from_s, int64_t *ret_until_s, struct err *err);
/* Certificate with key (key_pem may be NULL) for the calls above; transfer full. */
int http_cert_load(const char *cert_pem, const char *key_pem, GTlsCertificate **ret_certificate,
                   struct err *err);

#endif
