/* SPDX-License-Identifier: Apache-2.0 */
/* The only class of GObject here: the library reads from a GInputStream, and GIO has none to look ahead in
 * without blocking. */
#include "http/head.h"

#include <libsoup/soup.h>
#include <stdbool.h>
#include <string.h>

#define PIECE 4096
/* Takes the place of a head that is not understood: without Host it is refused. */
#define REFUSED "GET / HTTP/1.1\r\n\r\n"

G_DECLARE_FINAL_TYPE(HeadInput, head_input, HTTP, HEAD_INPUT, GInputStream)

struct _HeadInput {
    GInputStream parent;
    GIOStream *base;
    GByteArray *held; /* read from `base`; from `n_given` on the library has not seen it */
    gsize n_given;
    gsize n_searched; /* of `held`: in these no head ends */
    bool is_in_head;  /* nothing is given */
};

static GPollableInputStream *base_input(const HeadInput *input)
{
    return G_POLLABLE_INPUT_STREAM(g_io_stream_get_input_stream(input->base));
}

static bool has_more(const HeadInput *input)
{
    return !input->is_in_head && input->n_given < input->held->len;
}

/* Empty lines before a head have no meaning, and the library counts them in its own way. */
static void drop_empty_lines(GByteArray *held)
{
    guint n = 0;
    while (n < held->len && (held->data[n] == '\r' || held->data[n] == '\n'))
        n++;
    (void)g_byte_array_remove_range(held, 0, n);
}

/* How much of `held` is a head, without the empty line that ends it; 0: it is not whole. */
static gsize find_head(HeadInput *input)
{
    const guint8 *data = input->held->data;
    gsize size = input->held->len;
    for (gsize i = input->n_searched; i + 1 < size; i++) {
        if (data[i] != '\n')
            continue;
        if (data[i + 1] == '\n' || (i + 2 < size && data[i + 1] == '\r' && data[i + 2] == '\n'))
            return i + 1;
    }
    input->n_searched = size > 2 ? size - 2 : 0;
    return 0;
}

/* As the library will, with the same function. */
static bool is_understood(const guint8 *head, gsize size)
{
    SoupMessageHeaders *headers = soup_message_headers_new(SOUP_MESSAGE_HEADERS_REQUEST);
    g_autofree char *method = NULL;
    g_autofree char *path = NULL;
    SoupHTTPVersion version;
    bool is_good = soup_headers_parse_request((const char *)head, (int)size, headers, &method, &path,
                                              &version) == SOUP_STATUS_OK &&
                   soup_message_headers_get_encoding(headers) != SOUP_ENCODING_UNRECOGNIZED;
    soup_message_headers_unref(headers);
    return is_good;
}

static void refuse(HeadInput *input)
{
    g_byte_array_set_size(input->held, 0);
    (void)g_byte_array_append(input->held, (const guint8 *)REFUSED, strlen(REFUSED));
    input->is_in_head = false;
}

/* True if there is something to give, or nothing to hold back. */
static bool judge(HeadInput *input, bool is_at_end)
{
    drop_empty_lines(input->held);
    gsize size = find_head(input);
    if (size ? is_understood(input->held->data, size) : is_at_end && !input->held->len)
        input->is_in_head = false;
    else if (size || is_at_end || input->held->len > HEAD_MAX)
        refuse(input);
    return !input->is_in_head;
}

/* False, with `error`: not yet, or the connection is broken. */
static bool read_head(HeadInput *input, GError **error)
{
    bool is_at_end = false;
    while (!judge(input, is_at_end)) {
        guint before = input->held->len;
        g_byte_array_set_size(input->held, before + PIECE);
        gssize n = g_pollable_input_stream_read_nonblocking(base_input(input), input->held->data + before,
                                                            PIECE, NULL, error);
        g_byte_array_set_size(input->held, before + (guint)MAX(n, 0));
        if (n < 0)
            return false;
        is_at_end = n == 0;
    }
    return true;
}

static gssize head_input_read(GPollableInputStream *stream, void *buffer, gsize size, GError **error)
{
    HeadInput *input = HTTP_HEAD_INPUT(stream);
    if (input->is_in_head && !read_head(input, error))
        return -1;
    if (!has_more(input))
        return g_pollable_input_stream_read_nonblocking(base_input(input), buffer, size, NULL, error);
    size = MIN(size, input->held->len - input->n_given);
    memcpy(buffer, input->held->data + input->n_given, size);
    input->n_given += size;
    return (gssize)size;
}

static gboolean head_input_is_readable(GPollableInputStream *stream)
{
    HeadInput *input = HTTP_HEAD_INPUT(stream);
    return has_more(input) || g_pollable_input_stream_is_readable(base_input(input));
}

static GSource *head_input_create_source(GPollableInputStream *stream, GCancellable *cancellable)
{
    HeadInput *input = HTTP_HEAD_INPUT(stream);
    g_autoptr(GSource) inner = has_more(input)
                                   ? g_timeout_source_new(0)
                                   : g_pollable_input_stream_create_source(base_input(input), NULL);
    return g_pollable_source_new_full(stream, inner, cancellable);
}

static gboolean head_input_close(GInputStream *stream, GCancellable *cancellable, GError **error)
{
    return g_io_stream_close(HTTP_HEAD_INPUT(stream)->base, cancellable, error);
}

static void head_input_pollable_init(GPollableInputStreamInterface *pollable)
{
    pollable->is_readable = head_input_is_readable;
    pollable->create_source = head_input_create_source;
    pollable->read_nonblocking = head_input_read;
}

G_DEFINE_TYPE_WITH_CODE(HeadInput, head_input, G_TYPE_INPUT_STREAM,
                        G_IMPLEMENT_INTERFACE(G_TYPE_POLLABLE_INPUT_STREAM, head_input_pollable_init))

static void head_input_finalize(GObject *object)
{
    HeadInput *input = HTTP_HEAD_INPUT(object);
    g_object_unref(input->base);
    (void)g_byte_array_unref(input->held);
    G_OBJECT_CLASS(head_input_parent_class)->finalize(object);
}

static void head_input_class_init(HeadInputClass *class)
{
    G_OBJECT_CLASS(class)->finalize = head_input_finalize;
    G_INPUT_STREAM_CLASS(class)->close_fn = head_input_close;
}

static void head_input_init(HeadInput *input)
{
    input->held = g_byte_array_new();
}

GIOStream *head_stream_new(GIOStream *base)
{
    g_autoptr(HeadInput) input = g_object_new(head_input_get_type(), NULL);
    input->base = g_object_ref(base);
    return g_simple_io_stream_new(G_INPUT_STREAM(input), g_io_stream_get_output_stream(base));
}

void head_stream_expect(GIOStream *stream)
{
    HeadInput *input = HTTP_HEAD_INPUT(g_io_stream_get_input_stream(stream));
    (void)g_byte_array_remove_range(input->held, 0, (guint)input->n_given);
    input->n_given = 0;
    input->n_searched = 0;
    input->is_in_head = true;
}
