/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "http/server.h"
#include "model/move.h"

static void on_gone(SoupServerMessage *msg, struct http_request *request)
{
    (void)msg;
    request->gone = true;
}

struct http_request *request_new(struct http_server *server, SoupServerMessage *msg)
{
    struct http_request *request = g_new0(struct http_request, 1);
    request->server = server;
    request->msg = g_object_ref(msg);
    request->params = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    (void)g_signal_connect(msg, "finished", G_CALLBACK(on_gone), request);
    (void)g_signal_connect(msg, "disconnected", G_CALLBACK(on_gone), request);
    g_queue_push_tail(&server->requests, request);
    soup_message_body_truncate(soup_server_message_get_response_body(msg));
    soup_server_message_pause(msg);
    return request;
}

void request_free(struct http_request *request)
{
    if (request->server)
        (void)g_queue_remove(&request->server->requests, request);
    (void)g_signal_handlers_disconnect_by_data(request->msg, request);
    g_object_unref(request->msg);
    g_hash_table_unref(request->params);
    g_clear_pointer(&request->query, g_hash_table_unref);
    g_clear_pointer(&request->body, json_object_unref);
    g_free(request->user);
    g_free(request);
}

const char *http_param(struct http_request *request, const char *name)
{
    return g_hash_table_lookup(request->params, name);
}

const char *http_query(struct http_request *request, const char *name)
{
    return request->query ? g_hash_table_lookup(request->query, name) : NULL;
}

const char *http_query_other(struct http_request *request, const char *const *names)
{
    GHashTableIter iter;
    void *name;
    if (!request->query)
        return NULL;
    g_hash_table_iter_init(&iter, request->query);
    while (g_hash_table_iter_next(&iter, &name, NULL))
        if (!g_strv_contains(names, name))
            return name;
    return NULL;
}

const char *http_header(struct http_request *request, const char *name)
{
    return soup_message_headers_get_one(soup_server_message_get_request_headers(request->msg), name);
}

const char *http_user(struct http_request *request)
{
    return request->user;
}

void *http_server_user(const struct http_request *request)
{
    return request->server->config.user;
}

int http_body(struct http_request *request, JsonObject **ret_object, struct err *err)
{
    if (!request->body) {
        g_autoptr(GBytes) bytes =
            soup_message_body_flatten(soup_server_message_get_request_body(request->msg));
        gsize size = 0;
        const char *text = g_bytes_get_data(bytes, &size);
        if (!size)
            request->body = json_object_new();
        else if (model_parse(text, (gssize)size, &request->body, err))
            return -1;
    }
    *ret_object = request->body;
    return 0;
}

/* Takes `text` and the request. */
static void answer(struct http_request *request, int status, const char *content_type, char *text,
                   gsize length)
{
    SoupMessageHeaders *headers = soup_server_message_get_response_headers(request->msg);
    soup_message_headers_replace(headers, "Cache-Control", "no-store");
    soup_message_headers_replace(headers, "X-Content-Type-Options", "nosniff");
    soup_server_message_set_status(request->msg, (guint)status, NULL);
    soup_server_message_set_response(request->msg, content_type, SOUP_MEMORY_TAKE, text, length);
    if (!request->gone)
        soup_server_message_unpause(request->msg);
    request_free(request);
}

void http_reply(struct http_request *request, int status, JsonObject *object)
{
    g_autoptr(JsonObject) whole = object ? object : json_object_new();
    char *text = model_print(whole, false);
    answer(request, status, "application/json", text, strlen(text));
}

void http_reply_text(struct http_request *request, int status, const char *content_type, const char *text,
                     gssize length)
{
    gsize size = length < 0 ? strlen(text) : (gsize)length;
    answer(request, status, content_type, g_memdup2(text, size), size);
}

void request_fail(struct http_request *request, int status, const struct err *err)
{
    http_reply(request, status, model_error_to_json(err));
}

static void note_attempt(const struct http_request *request)
{
    GSocketAddress *from = soup_server_message_get_remote_address(request->msg);
    if (!attempts_note(&request->server->attempts, from, clock_now_ns()))
        return;
    g_autofree char *text =
        g_inet_address_to_string(g_inet_socket_address_get_address(G_INET_SOCKET_ADDRESS(from)));
    log_warn("%s has shown %d wrong tokens and is not heard until a minute after the first", text,
             ATTEMPTS_MAX);
}

void http_fail(struct http_request *request, const struct err *err)
{
    if (request->shows_token && err->code == ERR_UNAUTHORIZED && request->server)
        note_attempt(request);
    request_fail(request, err_http_status(err->code), err);
}
