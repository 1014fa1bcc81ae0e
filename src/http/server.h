/* SPDX-License-Identifier: Apache-2.0 */
/* Private to http/: the server's state and what its files offer each other. */
#ifndef HTTP_SERVER_H
#define HTTP_SERVER_H

#include <libsoup/soup.h>
#include <sys/stat.h>

#include "http/attempts.h"
#include "http/connections.h"
#include "http/http.h"

struct http_server {
    SoupServer *soup;
    struct http_server_config config; /* `certificate` and `client_ca` are references */
    GQueue requests;                  /* of struct http_request: not answered yet */
    GQueue streams;                   /* of struct http_stream: open */
    GArray *unix_sockets;             /* of struct unix_socket: to unlink */
    GPtrArray *listeners;             /* of struct listener */
    struct attempts attempts;
    struct connections connections;
};

struct unix_socket {
    char *path;
    dev_t device; /* the file we made, so that a successor's is left alone */
    ino_t inode;
};

struct http_request {
    struct http_server *server; /* NULL once the server was freed */
    SoupServerMessage *msg;
    bool gone;          /* the connection is closed; an answer reaches nobody */
    GHashTable *params; /* from the path */
    GHashTable *query;  /* may be NULL */
    char *user;         /* may be NULL */
    JsonObject *body;   /* NULL until http_body */
    bool shows_token;   /* a bearer token that is not known to be right, or perhaps another in the body */
};

/* dispatch.c: connects the request handling to server->soup. */
void dispatch_attach(struct http_server *server);

/* request.c */
struct http_request *request_new(struct http_server *server, SoupServerMessage *msg);
void request_free(struct http_request *request);
/* As http_fail, with another status than the code's own. Consumes the request. */
void request_fail(struct http_request *request, int status, const struct err *err);

/* route.c: true if `path` (as sent) matches `pattern`; adds what the {names} stand for to `params`. */
bool route_matches(const char *pattern, const char *path, GHashTable *params);

/* access.c: 0 and request->user, or -1 with ERR_UNAUTHORIZED. */
int access_check(struct http_request *request, enum http_access access, struct err *err);

/* stream.c: whose it is; may be NULL */
const char *stream_user(const struct http_stream *stream);
/* stream.c: ends a stream whose server goes away; calls its `closed`. */
void stream_abandon(struct http_stream *stream);

/* listen.c */
/* Takes clients from a socket that listens; transfer none. */
void server_accept_from(struct http_server *server, GSocket *socket, bool is_tls);
void listener_free(gpointer listener);
void unix_socket_clear(struct unix_socket *unix_socket);

#endif
