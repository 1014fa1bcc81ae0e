/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Server-sent events. An open stream is a paused message with a chunked body; each event is one chunk. Its
 * life ends in one of three ways: http_stream_end (the owner), `closed` (the client went away or read too
 * slowly, always from the main loop, never from inside a call of the owner), stream_abandon (the server
 * goes).
 */
#include <glib-unix.h>
#include <poll.h>
#include <string.h>

#include "http/server.h"
#include "model/move.h"

#define BACKLOG_MAX (1024 * 1024)
/* A comment now and then tells the reader that we live, and us that it does. */
#define PING_S 15

struct http_stream {
    struct http_server *server;
    SoupServerMessage *msg;
    void (*closed)(struct http_stream *stream, void *user);
    void *user;
    char *reader;  /* who asked for it; may be NULL */
    gsize backlog; /* bytes queued and not written yet */
    bool lost;     /* the client is gone or cut off; `closed` follows */
    void (*written)(struct http_stream *stream, void *user); /* asked for, or NULL */
    guint hangup_source, ping_source, closed_source, written_source;
};

static void clear_source(guint *source)
{
    if (*source)
        (void)g_source_remove(*source);
    *source = 0;
}

static void stream_free(struct http_stream *stream)
{
    clear_source(&stream->hangup_source);
    clear_source(&stream->ping_source);
    clear_source(&stream->closed_source);
    clear_source(&stream->written_source);
    (void)g_signal_handlers_disconnect_by_data(stream->msg, stream);
    if (stream->server)
        (void)g_queue_remove(&stream->server->streams, stream);
    g_object_unref(stream->msg);
    g_free(stream->reader);
    g_free(stream);
}

const char *stream_user(const struct http_stream *stream)
{
    return stream->reader;
}

static gboolean on_closed(gpointer user)
{
    struct http_stream *stream = user;
    stream->closed_source = 0;
    stream->closed(stream, stream->user);
    stream_free(stream);
    return G_SOURCE_REMOVE;
}

/* Ends the body: the library then writes what is left, or fails to, and lets go of the connection. */
static void finish_body(struct http_stream *stream)
{
    (void)g_signal_handlers_disconnect_by_data(stream->msg, stream);
    soup_message_body_complete(soup_server_message_get_response_body(stream->msg));
    soup_server_message_unpause(stream->msg);
}

static void stream_lose(struct http_stream *stream)
{
    if (stream->lost)
        return;
    stream->lost = true;
    clear_source(&stream->hangup_source);
    clear_source(&stream->ping_source);
    (void)g_socket_shutdown(connection_of(stream->msg)->socket, TRUE, TRUE, NULL);
    finish_body(stream);
    stream->closed_source = g_idle_add(on_closed, stream);
}

/* The library has let go of the message: nothing is left to shut down. */
static void on_finished(SoupServerMessage *msg, struct http_stream *stream)
{
    (void)msg;
    if (stream->lost)
        return;
    stream->lost = true;
    clear_source(&stream->hangup_source);
    clear_source(&stream->ping_source);
    (void)g_signal_handlers_disconnect_by_data(stream->msg, stream);
    stream->closed_source = g_idle_add(on_closed, stream);
}

static gboolean on_written(gpointer user)
{
    struct http_stream *stream = user;
    void (*written)(struct http_stream * stream, void *user) = stream->written;
    stream->written_source = 0;
    stream->written = NULL;
    if (!stream->lost)
        written(stream, stream->user);
    return G_SOURCE_REMOVE;
}

static void tell_written(struct http_stream *stream)
{
    if (stream->written && !stream->backlog && !stream->written_source)
        stream->written_source = g_idle_add(on_written, stream);
}

static void on_wrote(SoupServerMessage *msg, guint size, struct http_stream *stream)
{
    (void)msg;
    stream->backlog -= MIN(size, stream->backlog);
    tell_written(stream);
}

void http_stream_when_written(struct http_stream *stream,
                              void (*written)(struct http_stream *stream, void *user))
{
    stream->written = written;
    tell_written(stream);
}

/* Takes `text`. */
static void stream_append(struct http_stream *stream, char *text)
{
    gsize size = strlen(text);
    if (stream->lost || stream->backlog + size > BACKLOG_MAX) {
        g_free(text);
        stream_lose(stream);
        return;
    }
    stream->backlog += size;
    soup_message_body_append(soup_server_message_get_response_body(stream->msg), SOUP_MEMORY_TAKE, text,
                             size);
    soup_server_message_unpause(stream->msg);
}

static gboolean on_ping(gpointer user)
{
    stream_append(user, g_strdup(":\n\n"));
    return G_SOURCE_CONTINUE;
}

static gboolean on_hangup(gint fd, GIOCondition condition, gpointer user)
{
    (void)fd, (void)condition;
    struct http_stream *stream = user;
    stream->hangup_source = 0;
    stream_lose(stream);
    return G_SOURCE_REMOVE;
}

struct http_stream *http_stream_open(struct http_request *request,
                                     void (*closed)(struct http_stream *stream, void *user), void *user)
{
    struct http_stream *stream = g_new0(struct http_stream, 1);
    stream->server = request->server;
    stream->msg = g_object_ref(request->msg);
    stream->closed = closed;
    stream->user = user;
    stream->reader = g_strdup(request->user);
    if (stream->server)
        g_queue_push_tail(&stream->server->streams, stream);
    if (request->gone) {
        stream->lost = true;
        stream->closed_source = g_idle_add(on_closed, stream);
        request_free(request);
        return stream;
    }
    SoupMessageHeaders *headers = soup_server_message_get_response_headers(stream->msg);
    soup_server_message_set_status(stream->msg, SOUP_STATUS_OK, NULL);
    soup_message_headers_replace(headers, "Content-Type", "text/event-stream");
    soup_message_headers_replace(headers, "Cache-Control", "no-store");
    soup_message_headers_set_encoding(headers, SOUP_ENCODING_CHUNKED);
    soup_message_body_set_accumulate(soup_server_message_get_response_body(stream->msg), FALSE);
    (void)g_signal_connect(stream->msg, "wrote-body-data", G_CALLBACK(on_wrote), stream);
    (void)g_signal_connect(stream->msg, "finished", G_CALLBACK(on_finished), stream);
    (void)g_signal_connect(stream->msg, "disconnected", G_CALLBACK(on_finished), stream);
    /* The library does not look at the socket of a message that has nothing to write. */
    stream->hangup_source = g_unix_fd_add(g_socket_get_fd(connection_of(stream->msg)->socket),
                                          (GIOCondition)(POLLRDHUP | POLLHUP | POLLERR), on_hangup, stream);
    stream->ping_source = g_timeout_add_seconds(PING_S, on_ping, stream);
    request_free(request);
    stream_append(stream, g_strdup(":\n\n")); /* the headers go out now */
    return stream;
}

void http_stream_send(struct http_stream *stream, const char *event, uint64_t id, JsonObject *object)
{
    g_autofree char *data = model_print(object, false);
    json_object_unref(object);
    stream_append(stream,
                  g_strdup_printf("id: %" G_GUINT64_FORMAT "\nevent: %s\ndata: %s\n\n", id, event, data));
}

void http_stream_end(struct http_stream *stream)
{
    if (!stream->lost)
        finish_body(stream);
    stream_free(stream);
}

void stream_abandon(struct http_stream *stream)
{
    stream->server = NULL;
    if (!stream->lost)
        finish_body(stream);
    stream->closed(stream, stream->user);
    stream_free(stream);
}
