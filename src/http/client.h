/* SPDX-License-Identifier: Apache-2.0 */
/* Private to http/: the client's state and what its files offer each other. */
#ifndef HTTP_CLIENT_H
#define HTTP_CLIENT_H

#include <libsoup/soup.h>

#include "http/http.h"

/* A longer answer is not one of ours. */
#define CLIENT_ANSWER_MAX (16 * 1024 * 1024)

/* Everything but `certificate`, `session` and `calls` is fixed after http_client_new and may be read by any
 * thread. */
struct http_client {
    char *peer; /* as the user gave it, for messages */
    char *url;  /* in front of a path: "https://198.18.1.1:8443", "http://localhost" for a unix socket */
    GSocketConnectable *address; /* unix socket or number; NULL: the name in `url` is looked up */
    char *token;
    GTlsCertificate *ca;
    char *ca_fingerprint;
    GTlsCertificate *certificate;
    char *expected_name;
    uint32_t protocol;
    bool (*accepts)(const char *fingerprint, void *user);
    void *accepts_user;
    SoupSession *session; /* of the main loop */
    GQueue calls;         /* of struct call: running on the main loop */
};

/* client.c: a session of the calling thread's default context. Transfer full. */
SoupSession *client_session_new(const struct http_client *client);

/* The text why the server was refused, filled by the handler that trust_watch installs; "" if it was not. */
struct distrust {
    char why[ERR_TEXT_MAX];
};

/* client.c: a request with body (consumed, may be NULL), token and certificate; NULL if the path is unusable.
 * `distrust` must live as long as the message. Transfer full. */
SoupMessage *client_message_new(const struct http_client *client, const char *method, const char *path,
                                JsonObject *body, struct distrust *distrust);
/* client.c: what a failed transfer means. */
int client_failed(const struct http_client *client, const GError *error, const struct distrust *distrust,
                  struct err *err);

int client_path_invalid(const struct http_client *client, struct err *err);

/* trust.c: lets `msg` talk to nobody but the server that the client was told to trust. */
void trust_watch(const struct http_client *client, SoupMessage *msg, struct distrust *distrust);

/* answer.c: status and body into an object (transfer full, NULL if the body is empty) or the error it means.
 */
int answer_read(const struct http_client *client, unsigned status, GBytes *body, JsonObject **ret_object,
                struct err *err);
int answer_too_large(const struct http_client *client, struct err *err);

#endif
