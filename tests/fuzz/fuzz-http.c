/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes of a stranger at the HTTP server: requests, headers, bodies, as they come. A handler is called only
 * for a route with its access, and sees only what the route promises.
 */
#include <string.h>

#include "fuzz.h"
#include "http_side.h"
#include "model/move.h"

static void echo(struct http_request *request, void *user)
{
    JsonObject *body;
    struct err err = {0};
    const char *name = http_param(request, "name");
    must(user && name && *name && !http_param(request, "other"));
    (void)http_query(request, "q");
    (void)http_header(request, "Accept");
    if (http_body(request, &body, &err) < 0) {
        must_be_sound(&err);
        http_fail(request, &err);
        return;
    }
    g_autofree char *valid = g_utf8_make_valid(name, -1);
    JsonObject *answer = json_object_new();
    json_object_set_string_member(answer, "name", valid);
    json_object_set_object_member(answer, "body", json_object_ref(body));
    http_reply(request, 200, answer);
}

static void for_users(struct http_request *request, void *user)
{
    must(http_user(request) && !strcmp(http_user(request), "alice"));
    echo(request, user);
}

static void for_nobody(struct http_request *request, void *user)
{
    (void)request;
    (void)user;
    must(!"a client without a certificate got in");
}

static void stream_closed(struct http_stream *stream, void *user)
{
    (void)stream;
    ++*(unsigned *)user;
}

static void stream(struct http_request *request, void *user)
{
    struct http_stream *opened = http_stream_open(request, stream_closed, user);
    http_stream_send(opened, "event", 1, json_object_new());
}

static const struct http_route routes[] = {
    {"POST", "/v1/open/{name}", HTTP_OPEN, echo},
    {"GET", "/v1/open/{name}", HTTP_OPEN, echo},
    {"PUT", "/v1/users/{name}", HTTP_TOKEN, for_users},
    {"POST", "/v1/agents/{name}", HTTP_CLIENT, for_nobody},
    {"GET", "/v1/events", HTTP_OPEN, stream},
    {NULL},
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct http_side side;
    static unsigned n_closed;
    struct input whole = {data, size}, input = input_part(&whole, 64 << 10);
    const char *body;
    if (!side.server)
        http_side_open(&side, routes, "alice", &n_closed);
    g_autoptr(GString) answer = http_side_ask(&side, input.at, input.left);
    unsigned status = http_side_status(answer, &body);
    must(!answer->len || (status >= 100 && status < 600));
    must(status != 500);
    return 0;
}
