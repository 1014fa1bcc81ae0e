/* SPDX-License-Identifier: Apache-2.0 */
/* A real server and its clients for the tests of http/: certificates, sockets, answers. All aborts on
 * failure. */
#ifndef TESTS_HTTP_PEERS_H
#define TESTS_HTTP_PEERS_H

#include "http/http.h"

struct authority {
    char *cert_pem;
    char *key_pem;
    GTlsCertificate *certificate;
};
void authority_init(struct authority *authority, const char *name);
void authority_clear(struct authority *authority);
/* A certificate with key and the authority behind it. Transfer full. */
GTlsCertificate *authority_issue(const struct authority *authority, const char *common_name);

/* A server on 127.0.0.1 and on a unix socket in a temporary directory. Its token is "good". */
struct peers {
    struct authority ca;
    struct http_server *server;
    uint16_t port;
    char *base; /* https://127.0.0.1:PORT */
    char *directory;
    char *socket_path;
    char *unix_base;
};
void peers_init(struct peers *peers, const struct http_route *routes, void *user);
void peers_clear(struct peers *peers);

/* Trusts the peers' authority; token "good"; over TLS or the unix socket. */
struct http_client *peers_client(const struct peers *peers, const char *base);

/* An answer that a callback on the main loop brings. */
struct answer {
    bool is_done;
    JsonObject *object;
    struct err err;
};
void answer_done(JsonObject *object, const struct err *err, void *user);
/* Iterates the main loop until `flag` is true. */
void wait_for(const bool *flag);
/* Calls, waits, returns; clear with answer_clear. */
void ask(struct http_client *client, const char *method, const char *path, JsonObject *body,
         struct answer *ret_answer);
void answer_clear(struct answer *answer);
/* Bytes straight to the unix socket; the answer's text up to the end of the connection, while the main loop
 * runs. g_free. */
char *ask_raw(const struct peers *peers, const char *bytes, size_t size);
struct raw_request {
    const char *bytes;
    size_t size;
    bool ends; /* nothing more will be said, and the server learns of it */
};
char *ask_raw_so(const struct peers *peers, const struct raw_request *request);

#endif
