/* SPDX-License-Identifier: Apache-2.0 */
/* From a message of the HTTP library to the handler of a route. */
#include <string.h>

#include "base/clock.h"
#include "http/server.h"
#include "model/move.h"

/* A client that is told 413 and goes on sending is cut off here; until then what it sends is thrown away. */
#define BODY_PATIENCE (16 * HTTP_BODY_MAX)
#define TOO_LARGE "too-large"
#define TOO_MANY_REQUESTS 429
#define HEADERS_TOO_LARGE 431

enum too_large { LARGE_NOTHING, LARGE_BODY, LARGE_HEADERS };

struct intake {
    goffset received;
};

static enum too_large what_is_too_large(SoupServerMessage *msg)
{
    return (enum too_large)GPOINTER_TO_INT(g_object_get_data(G_OBJECT(msg), TOO_LARGE));
}

static void set_too_large(SoupServerMessage *msg, enum too_large what)
{
    g_object_set_data(G_OBJECT(msg), TOO_LARGE, GINT_TO_POINTER((int)what));
    soup_message_body_set_accumulate(soup_server_message_get_request_body(msg), FALSE);
}

static void fail_too_large(struct http_request *request, enum too_large what)
{
    struct err err;
    if (what == LARGE_HEADERS) {
        (void)err_set(&err, ERR_BAD_REQUEST, "headers-too-large",
                      "path and headers of the request must be at most %d bytes long", HTTP_HEADERS_MAX);
        (void)err_arg(&err, "max", "%d", HTTP_HEADERS_MAX);
        request_fail(request, HEADERS_TOO_LARGE, &err);
        return;
    }
    (void)err_set(&err, ERR_BAD_REQUEST, "body-too-large",
                  "the body of the request must be at most %d bytes long", HTTP_BODY_MAX);
    (void)err_arg(&err, "max", "%d", HTTP_BODY_MAX);
    request_fail(request, SOUP_STATUS_REQUEST_ENTITY_TOO_LARGE, &err);
}

static void add_header(const char *name, const char *value, gpointer user)
{
    *(gsize *)user += strlen(name) + strlen(value);
}

/* The HTTP library has a limit of its own, above this one, where it hangs up without a word. */
static bool has_large_headers(SoupServerMessage *msg)
{
    g_autofree char *uri = g_uri_to_string(soup_server_message_get_uri(msg));
    gsize size = strlen(uri);
    soup_message_headers_foreach(soup_server_message_get_request_headers(msg), add_header, &size);
    return size > HTTP_HEADERS_MAX;
}

static void on_chunk(SoupServerMessage *msg, GBytes *chunk, struct intake *intake)
{
    intake->received += (goffset)g_bytes_get_size(chunk);
    if (intake->received > HTTP_BODY_MAX)
        set_too_large(msg, LARGE_BODY);
    if (intake->received > BODY_PATIENCE)
        (void)g_socket_shutdown(connection_of(msg)->socket, TRUE, TRUE, NULL);
}

static void free_intake(gpointer intake, GClosure *closure)
{
    (void)closure;
    g_free(intake);
}

/* Runs when the headers are in: watches the body before it is read. */
static void on_headers(SoupServer *soup, SoupServerMessage *msg, const char *path, GHashTable *query,
                       gpointer user)
{
    (void)soup, (void)path, (void)query;
    SoupMessageHeaders *headers = soup_server_message_get_request_headers(msg);
    (void)g_signal_connect_data(msg, "got-chunk", G_CALLBACK(on_chunk), g_new0(struct intake, 1), free_intake,
                                0);
    if (has_large_headers(msg)) {
        set_too_large(msg, LARGE_HEADERS);
        return;
    }
    if (soup_message_headers_get_encoding(headers) != SOUP_ENCODING_CONTENT_LENGTH ||
        soup_message_headers_get_content_length(headers) <= HTTP_BODY_MAX)
        return;
    set_too_large(msg, LARGE_BODY);
    /* The client waits for leave to send: a no now saves the transfer. */
    if (soup_message_headers_get_expectations(headers) & SOUP_EXPECTATION_CONTINUE)
        fail_too_large(request_new(user, msg), LARGE_BODY);
}

/* The route for the request, or NULL and in `allowed` the methods the path knows (empty: no such path). */
static const struct http_route *find_route(struct http_request *request, const char *path, GString *allowed)
{
    const char *method = soup_server_message_get_method(request->msg);
    for (const struct http_route *route = request->server->config.routes; route->method; route++) {
        g_hash_table_remove_all(request->params);
        if (!route_matches(route->path, path, request->params))
            continue;
        if (!strcmp(route->method, method))
            return route;
        g_string_append_printf(allowed, "%s%s", allowed->len ? ", " : "", route->method);
    }
    return NULL;
}

static void fail_no_route(struct http_request *request, const char *path, const char *allowed)
{
    struct err err;
    if (!*allowed) {
        (void)err_set(&err, ERR_NOT_FOUND, "path-not-found", "there is nothing at %s", path);
        (void)err_arg(&err, "path", "%s", path);
        (void)err_fix(&err, "correct the path; a newer program than this may know it");
        http_fail(request, &err);
        return;
    }
    (void)err_set(&err, ERR_BAD_REQUEST, "method-not-allowed", "%s does not know the method %s", path,
                  soup_server_message_get_method(request->msg));
    (void)err_arg(&err, "path", "%s", path);
    (void)err_arg(&err, "method", "%s", soup_server_message_get_method(request->msg));
    (void)err_fix(&err, "use %s", allowed);
    soup_message_headers_replace(soup_server_message_get_response_headers(request->msg), "Allow", allowed);
    request_fail(request, SOUP_STATUS_METHOD_NOT_ALLOWED, &err);
}

/* True if the request is answered: too many wrong tokens came from there. */
static bool fail_attempts(struct http_request *request)
{
    struct err err;
    char text[16];
    GSocketAddress *from = soup_server_message_get_remote_address(request->msg);
    unsigned wait_s = attempts_wait_s(&request->server->attempts, from, clock_now_ns());
    if (!wait_s)
        return false;
    (void)err_set(&err, ERR_REFUSED, "too-many-attempts", "too many wrong tokens came from this address");
    (void)err_fix(&err, "wait %u s, then use a valid token", wait_s);
    (void)err_arg(&err, "wait_s", "%u", wait_s);
    (void)g_snprintf(text, sizeof text, "%u", wait_s);
    soup_message_headers_replace(soup_server_message_get_response_headers(request->msg), "Retry-After", text);
    request_fail(request, TOO_MANY_REQUESTS, &err);
    return true;
}

static unsigned n_under_way(const struct http_server *server, const char *user)
{
    unsigned n = 0;
    for (const GList *link = server->requests.head; link; link = link->next)
        n += !g_strcmp0(((const struct http_request *)link->data)->user, user);
    for (const GList *link = server->streams.head; link; link = link->next)
        n += !g_strcmp0(stream_user(link->data), user);
    return n;
}

/* True if the request is answered: one token, in a loop that runs wild, must leave room for others. */
static bool fail_crowd(struct http_request *request)
{
    struct err err;
    if (!request->user || n_under_way(request->server, request->user) <= HTTP_UNDER_WAY_MAX)
        return false;
    (void)err_set(&err, ERR_REFUSED, "too-many-requests", "%s has %d requests and streams under way already",
                  request->user, HTTP_UNDER_WAY_MAX);
    (void)err_arg(&err, "user", "%s", request->user);
    (void)err_arg(&err, "max", "%d", HTTP_UNDER_WAY_MAX);
    (void)err_fix(&err, "end some; one stream of /v1/events follows everything");
    request_fail(request, TOO_MANY_REQUESTS, &err);
    return true;
}

static void on_request(SoupServer *soup, SoupServerMessage *msg, const char *path, GHashTable *query,
                       gpointer user)
{
    (void)soup;
    connection_is_served(msg);
    struct http_request *request = request_new(user, msg);
    g_autoptr(GString) allowed = g_string_new(NULL);
    struct err err = {0};
    if (query)
        request->query = g_hash_table_ref(query);
    enum too_large what = what_is_too_large(msg);
    if (what != LARGE_NOTHING) {
        fail_too_large(request, what);
        return;
    }
    const struct http_route *route = find_route(request, path, allowed);
    if (!route) {
        fail_no_route(request, path, allowed->str);
        return;
    }
    bool takes_token = route->access == HTTP_TOKEN || route->access == HTTP_OPEN;
    if (takes_token && fail_attempts(request))
        return;
    request->shows_token = route->access == HTTP_OPEN;
    if (access_check(request, route->access, &err)) {
        soup_message_headers_replace(soup_server_message_get_response_headers(msg), "WWW-Authenticate",
                                     "Bearer");
        http_fail(request, &err);
        return;
    }
    if (fail_crowd(request))
        return;
    route->handler(request, request->server->config.user);
}

/* What is no HTTP (head.h) the library answers by itself, with 400 and what the message has by then. Of those
 * that are understood request_new takes it away. */
static void preset_malformed(SoupServerMessage *msg)
{
    struct err err;
    (void)err_set(&err, ERR_BAD_REQUEST, "request-malformed", "this is no request that can be understood");
    (void)err_fix(&err, "send HTTP/1.1 with Host, and a path in which %% and white space are escaped");
    JsonObject *document = model_error_to_json(&err);
    char *text = model_print(document, false);
    soup_server_message_set_response(msg, "application/json", SOUP_MEMORY_TAKE, text, strlen(text));
    json_object_unref(document);
}

static void on_started(SoupServer *soup, SoupServerMessage *msg, gpointer user)
{
    (void)soup, (void)user;
    connection_asks(msg);
    preset_malformed(msg);
}

void dispatch_attach(struct http_server *server)
{
    (void)g_signal_connect(server->soup, "request-started", G_CALLBACK(on_started), server);
    /* "OPTIONS *" has no path. */
    const char *const paths[] = {NULL, "*"};
    for (size_t i = 0; i < G_N_ELEMENTS(paths); i++) {
        soup_server_add_early_handler(server->soup, paths[i], on_headers, server, NULL);
        soup_server_add_handler(server->soup, paths[i], on_request, server, NULL);
    }
}
