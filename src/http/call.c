/* SPDX-License-Identifier: Apache-2.0 */
/* One request and its answer: on the main loop, or on a loop of its own for command lines. */
#include <errno.h>

#include "base/descriptors.h"
#include "http/client.h"

#define CHUNK_SIZE 16384
#define TICK_MS 1000

struct call {
    struct http_client *client; /* NULL once http_client_free has answered for it */
    SoupSession *session;       /* a reference: the client may have gone on to another one */
    SoupMessage *msg;
    struct distrust distrust;
    GCancellable *cancel; /* ours: caller's wish or deadline */
    GCancellable *outer;  /* the caller's, may be NULL */
    gulong outer_handler;
    GSource *deadline; /* NULL if none */
    unsigned timeout_s;
    unsigned n_ticks;     /* of the timeout that are over */
    int64_t tick_us;      /* when the last one came */
    bool was_late;        /* that one */
    GInputStream *input;  /* of the answer, once its headers are in */
    GByteArray *received; /* of its body */
    bool timed_out;
    bool lacks_descriptors; /* for a connection */
    bool is_asked;          /* the whole request is written */
    http_done done;
    void *user;
};

static void call_free(struct call *call)
{
    if (call->outer)
        g_cancellable_disconnect(call->outer, call->outer_handler);
    g_clear_object(&call->outer);
    if (call->deadline)
        g_source_destroy(call->deadline);
    g_clear_pointer(&call->deadline, g_source_unref);
    if (call->msg)
        (void)g_signal_handlers_disconnect_by_data(call->msg, call);
    g_clear_object(&call->msg);
    g_clear_object(&call->input);
    g_object_unref(call->session);
    g_byte_array_unref(call->received);
    g_object_unref(call->cancel);
    g_free(call);
}

/* A process that was stopped, or got no processor, has heard nothing meanwhile: the tick after such a time
 * does not count, so that an answer that came is read first. Not two in a row, or a slow process would wait
 * for ever. */
static bool is_excused(struct call *call, int64_t now_us)
{
    bool is_late = now_us - call->tick_us > (int64_t)2 * TICK_MS * 1000;
    call->was_late = is_late && !call->was_late;
    call->tick_us = now_us;
    return call->was_late;
}

static gboolean on_tick(gpointer user)
{
    struct call *call = user;
    if (is_excused(call, g_get_monotonic_time()) || ++call->n_ticks < call->timeout_s)
        return G_SOURCE_CONTINUE;
    call->timed_out = true;
    g_cancellable_cancel(call->cancel);
    return G_SOURCE_REMOVE;
}

static void on_outer_cancelled(GCancellable *outer, GCancellable *inner)
{
    (void)outer;
    g_cancellable_cancel(inner);
}

static void set_cancelled(struct err *err, const char *peer)
{
    (void)err_set(err, ERR_CANCELLED, "cancelled", "the request to %s was cancelled", peer);
    (void)err_arg(err, "peer", "%s", peer);
}

/* What was heard until the patience ended. */
static void say_silence(const struct call *call, struct err *err)
{
    const char *peer = call->client->peer;
    g_autofree char *request = g_strdup_printf("%s %s", soup_message_get_method(call->msg),
                                               g_uri_get_path(soup_message_get_uri(call->msg)));
    (void)err_set(err, ERR_TIMEOUT, "no-answer", "%s did not answer '%s' within %u s", peer, request,
                  call->timeout_s);
    (void)err_arg(err, "peer", "%s", peer);
    (void)err_arg(err, "request", "%s", request);
    (void)err_arg(err, "waited_s", "%u", call->timeout_s);
    if (call->input)
        (void)err_cause(err, "%u bytes of its answer came, and not the rest", call->received->len);
    else if (call->is_asked)
        (void)err_cause(err, "it was sent the request, and nothing came back");
    else
        (void)err_cause(err, "it did not take the request");
}

static void why_failed(const struct call *call, const GError *error, struct err *err)
{
    const char *peer = call->client->peer;
    if (call->lacks_descriptors) {
        g_autoptr(GError) lack =
            g_error_new_literal(G_IO_ERROR, G_IO_ERROR_TOO_MANY_OPEN_FILES, g_strerror(EMFILE));
        (void)client_failed(call->client, lack, &call->distrust, err);
        return;
    }
    if (call->timed_out)
        say_silence(call, err);
    else if (g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
        set_cancelled(err, peer);
    else
        (void)client_failed(call->client, error, &call->distrust, err);
}

/* Tells the caller, unless http_client_free already did, and ends the call. */
static void call_end(struct call *call, JsonObject *object, const struct err *err)
{
    if (call->client) {
        (void)g_queue_remove(&call->client->calls, call);
        call->done(object, err, call->user);
    }
    call_free(call);
}

static void call_fail(struct call *call, const GError *error)
{
    struct err err = {0};
    if (call->client)
        why_failed(call, error, &err);
    call_end(call, NULL, &err);
}

static void call_succeed(struct call *call)
{
    struct err err = {0};
    g_autoptr(JsonObject) object = NULL;
    g_autoptr(GBytes) body = g_bytes_new_static(call->received->data, call->received->len);
    if (call->client)
        (void)answer_read(call->client, soup_message_get_status(call->msg), body, &object, &err);
    call_end(call, object, &err);
}

static void on_body(GObject *source, GAsyncResult *result, gpointer user);

static void read_more(struct call *call)
{
    g_input_stream_read_bytes_async(call->input, CHUNK_SIZE, G_PRIORITY_DEFAULT, call->cancel, on_body, call);
}

static void on_body(GObject *source, GAsyncResult *result, gpointer user)
{
    struct call *call = user;
    g_autoptr(GError) error = NULL;
    g_autoptr(GBytes) bytes = g_input_stream_read_bytes_finish(G_INPUT_STREAM(source), result, &error);
    gsize size = 0;
    const guint8 *data = bytes ? g_bytes_get_data(bytes, &size) : NULL;
    if (!bytes) {
        call_fail(call, error);
    } else if (!size) {
        call_succeed(call);
    } else if (call->received->len + size > CLIENT_ANSWER_MAX) {
        struct err err = {0};
        if (call->client)
            (void)answer_too_large(call->client, &err);
        call_end(call, NULL, &err);
    } else {
        (void)g_byte_array_append(call->received, data, (guint)size);
        read_more(call);
    }
}

static void on_headers(GObject *source, GAsyncResult *result, gpointer user)
{
    struct call *call = user;
    g_autoptr(GError) error = NULL;
    call->input = soup_session_send_finish(SOUP_SESSION(source), result, &error);
    if (call->input)
        read_more(call);
    else
        call_fail(call, error);
}

static void on_asked(SoupMessage *msg, struct call *call)
{
    (void)msg;
    call->is_asked = true;
}

/* A connection begins; requests over one that stands need none. */
static void on_network(SoupMessage *msg, GSocketClientEvent event, GIOStream *stream, struct call *call)
{
    (void)msg, (void)stream;
    if (event != G_SOCKET_CLIENT_RESOLVING || descriptors_are_left())
        return;
    call->lacks_descriptors = true;
    g_cancellable_cancel(call->cancel);
}

static gboolean on_unusable_path(gpointer user)
{
    struct call *call = user;
    struct err err = {0};
    if (call->client)
        (void)client_path_invalid(call->client, &err);
    call_end(call, NULL, &err);
    return G_SOURCE_REMOVE;
}

static void attach(GSource *source, GSourceFunc callback, struct call *call)
{
    g_source_set_callback(source, callback, call, NULL);
    (void)g_source_attach(source, g_main_context_get_thread_default());
}

/* Starts on the calling thread's default context; `done` comes from there. */
static struct call *call_start(struct http_client *client, SoupSession *session,
                               const struct http_call *request, http_done done, void *user)
{
    struct call *call = g_new0(struct call, 1);
    call->client = client;
    call->session = g_object_ref(session);
    call->done = done;
    call->user = user;
    call->timeout_s = request->timeout_s;
    call->cancel = g_cancellable_new();
    call->received = g_byte_array_new();
    call->msg = client_message_new(client, request->method, request->path, request->body, &call->distrust);
    if (!call->msg) {
        g_autoptr(GSource) idle = g_idle_source_new();
        attach(idle, on_unusable_path, call);
        return call;
    }
    if (request->cancel) {
        call->outer = g_object_ref(request->cancel);
        call->outer_handler = g_cancellable_connect(call->outer, G_CALLBACK(on_outer_cancelled),
                                                    g_object_ref(call->cancel), g_object_unref);
    }
    if (request->timeout_s) {
        call->tick_us = g_get_monotonic_time();
        call->deadline = g_timeout_source_new(TICK_MS);
        attach(call->deadline, on_tick, call);
    }
    (void)g_signal_connect(call->msg, "wrote-body", G_CALLBACK(on_asked), call);
    (void)g_signal_connect(call->msg, "network-event", G_CALLBACK(on_network), call);
    soup_session_send_async(session, call->msg, G_PRIORITY_DEFAULT, call->cancel, on_headers, call);
    return call;
}

void http_client_call(struct http_client *client, const struct http_call *call, http_done done, void *user)
{
    if (!client->session)
        client->session = client_session_new(client);
    g_queue_push_tail(&client->calls, call_start(client, client->session, call, done, user));
}

void http_client_free(struct http_client *client)
{
    struct call *call;
    if (!client)
        return;
    while ((call = g_queue_pop_head(&client->calls))) {
        struct err err;
        set_cancelled(&err, client->peer);
        call->client = NULL; /* the call ends silently */
        g_cancellable_cancel(call->cancel);
        call->done(NULL, &err, call->user);
    }
    g_clear_object(&client->session);
    g_clear_object(&client->address);
    g_clear_object(&client->ca);
    g_clear_object(&client->certificate);
    g_free(client->peer);
    g_free(client->url);
    g_free(client->token);
    g_free(client->ca_fingerprint);
    g_free(client->expected_name);
    g_free(client);
}

struct sync_answer {
    bool is_done;
    JsonObject *object;
    struct err err;
};

static void on_sync_done(JsonObject *object, const struct err *err, void *user)
{
    struct sync_answer *answer = user;
    answer->object = object ? json_object_ref(object) : NULL;
    answer->err = *err;
    answer->is_done = true;
}

int http_client_call_sync(struct http_client *client, const struct http_call *call, JsonObject **ret_object,
                          struct err *err)
{
    struct sync_answer answer = {0};
    g_autoptr(GMainContext) context = g_main_context_new();
    g_main_context_push_thread_default(context);
    SoupSession *session = client_session_new(client);
    (void)call_start(client, session, call, on_sync_done, &answer);
    while (!answer.is_done)
        (void)g_main_context_iteration(context, TRUE);
    g_object_unref(session);
    while (g_main_context_iteration(context, FALSE))
        ; /* connections close themselves */
    g_main_context_pop_thread_default(context);
    *ret_object = answer.object;
    if (!err_is_set(&answer.err))
        return 0;
    if (err)
        *err = answer.err;
    return -1;
}
