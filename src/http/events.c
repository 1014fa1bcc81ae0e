/* SPDX-License-Identifier: Apache-2.0 */
/* Reading server-sent events. */
#include <string.h>

#include "http/client.h"
#include "model/move.h"

/* The server sends a comment every 15 s: silence four times as long means that it is gone. */
#define SILENCE_S 60
#define CHUNK_SIZE 16384

struct reader {
    const struct http_client *client;
    bool (*event)(const char *name, JsonObject *object, void *user);
    void *user;
    GString *line; /* not complete yet */
    GString *name;
    GString *data;
    bool is_over; /* `event` has had enough */
};

static void reader_clear(struct reader *reader)
{
    (void)g_string_free(reader->line, TRUE);
    (void)g_string_free(reader->name, TRUE);
    (void)g_string_free(reader->data, TRUE);
}

/* An empty line: the event is complete. */
static int deliver(struct reader *reader, struct err *err)
{
    g_autoptr(JsonObject) object = NULL;
    if (!reader->data->len)
        return 0;
    if (model_parse(reader->data->str, (gssize)reader->data->len, &object, err)) {
        if (err)
            err->code = ERR_CORRUPT;
        return err_prefix(err, "%s sent an event that is not ours", reader->client->peer);
    }
    reader->is_over = !reader->event(reader->name->len ? reader->name->str : "message", object, reader->user);
    g_string_truncate(reader->name, 0);
    g_string_truncate(reader->data, 0);
    return 0;
}

static int take_line(struct reader *reader, struct err *err)
{
    const char *line = reader->line->str;
    if (!*line)
        return deliver(reader, err);
    if (g_str_has_prefix(line, "event: "))
        (void)g_string_assign(reader->name, line + strlen("event: "));
    else if (g_str_has_prefix(line, "data: "))
        (void)g_string_append(reader->data, line + strlen("data: "));
    return 0; /* ids and comments say nothing to us */
}

static int feed(struct reader *reader, const char *bytes, size_t size, struct err *err)
{
    for (size_t i = 0; i < size && !reader->is_over; i++) {
        if (bytes[i] != '\n') {
            g_string_append_c(reader->line, bytes[i]);
            continue;
        }
        if (take_line(reader, err))
            return -1;
        g_string_truncate(reader->line, 0);
    }
    if (reader->line->len + reader->data->len > CLIENT_ANSWER_MAX)
        return answer_too_large(reader->client, err);
    return 0;
}

/* What the server says instead of a stream. */
static int read_refusal(const struct http_client *client, unsigned status, GInputStream *input,
                        struct err *err)
{
    g_autofree char *text = g_malloc(CHUNK_SIZE);
    gsize size = 0;
    g_autoptr(JsonObject) object = NULL;
    /* A refusal that is cut short still has its status. */
    (void)g_input_stream_read_all(input, text, CHUNK_SIZE, &size, NULL, NULL);
    g_autoptr(GBytes) body = g_bytes_new(text, size);
    return answer_read(client, status, body, &object, err);
}

struct opening {
    GInputStream *input;
    GError *error;
    bool is_done;
};

static void on_open(GObject *source, GAsyncResult *result, gpointer user)
{
    struct opening *opening = user;
    opening->input = soup_session_send_finish(SOUP_SESSION(source), result, &opening->error);
    opening->is_done = true;
}

/* The library's blocking call hangs when the server asks for a client certificate: the question goes to the
 * context that is current here, which that call does not iterate. */
static GInputStream *open_blocking(SoupSession *session, SoupMessage *msg, GMainContext *context,
                                   GError **error)
{
    struct opening opening = {0};
    soup_session_send_async(session, msg, G_PRIORITY_DEFAULT, NULL, on_open, &opening);
    while (!opening.is_done)
        (void)g_main_context_iteration(context, TRUE);
    if (opening.error)
        g_propagate_error(error, opening.error);
    return opening.input;
}

static int read_events(struct reader *reader, SoupSession *session, SoupMessage *msg,
                       const struct distrust *distrust, struct err *err)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GInputStream) input = open_blocking(session, msg, g_main_context_get_thread_default(), &error);
    if (!input)
        return client_failed(reader->client, error, distrust, err);
    unsigned status = soup_message_get_status(msg);
    if (!SOUP_STATUS_IS_SUCCESSFUL(status))
        return read_refusal(reader->client, status, input, err);
    while (!reader->is_over) {
        char bytes[CHUNK_SIZE];
        gssize size = g_input_stream_read(input, bytes, sizeof bytes, NULL, &error);
        if (size < 0)
            return client_failed(reader->client, error, distrust, err);
        if (!size)
            return 0;
        if (feed(reader, bytes, (size_t)size, err))
            return -1;
    }
    return 0;
}

int http_client_events_sync(struct http_client *client, const char *path,
                            bool (*event)(const char *name, JsonObject *object, void *user), void *user,
                            struct err *err)
{
    struct distrust distrust = {0};
    struct reader reader = {.client = client, .event = event, .user = user};
    reader.line = g_string_new(NULL);
    reader.name = g_string_new(NULL);
    reader.data = g_string_new(NULL);
    g_autoptr(GMainContext) context = g_main_context_new();
    g_main_context_push_thread_default(context);
    SoupSession *session = client_session_new(client);
    soup_session_set_timeout(session, SILENCE_S);
    g_autoptr(SoupMessage) msg = client_message_new(client, "GET", path, NULL, &distrust);
    if (msg)
        soup_message_headers_replace(soup_message_get_request_headers(msg), "Accept", "text/event-stream");
    int result = msg ? read_events(&reader, session, msg, &distrust, err) : client_path_invalid(client, err);
    soup_session_abort(session);
    g_object_unref(session);
    while (g_main_context_iteration(context, FALSE))
        ; /* connections close themselves */
    g_main_context_pop_thread_default(context);
    reader_clear(&reader);
    return result;
}
