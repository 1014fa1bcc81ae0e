/* SPDX-License-Identifier: Apache-2.0 */
/* A real server of src/http on a unix socket without a file, and one client that says what it likes. The
 * server's token is "good"; certificates there are none. */
#ifndef TESTS_FUZZ_HTTP_SIDE_H
#define TESTS_FUZZ_HTTP_SIDE_H

#include <glib.h>
#include <stddef.h>

#include "fuzz.h"
#include "http/http.h"

struct http_side {
    struct http_server *server;
    int address_fd; /* the listening socket, borrowed: whom to connect to */
};

/* `user` of the token. */
void http_side_open(struct http_side *side, const struct http_route *routes, const char *name, void *user);
void http_side_close(struct http_side *side);
/* One connection: says all of it, hears the answers until the server has nothing more to do. Transfer full.
 */
GString *http_side_ask(const struct http_side *side, const void *bytes, size_t size);

/* The status of the first answer, 0 if there is none; *ret_body: where its body begins (NULL: nowhere). */
unsigned http_side_status(const GString *answer, const char **ret_body);
/* An answer with an error is in the one form of every API. */
void must_be_an_error(const char *body);

/*
 * The input as requests, one after the other, divided by lines that are a single dot:
 *
 *   METHOD PATH
 *   body
 *   .
 *   METHOD PATH
 *
 * Each is sent with the token, and no answer says that the defect is ours.
 */
void http_side_ask_all(const struct http_side *side, struct input *input);

#endif
