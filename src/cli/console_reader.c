/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/console_reader.h"

#include <string.h>

#include "cli/query.h"
#include "model/json.h"

#define TAIL_BYTES 1024
#define CALL_S 60
#define PAUSE_US (250 * 1000)
/* Behind any log: the answer says where it ends. */
#define END_OF_LOG G_GINT64_CONSTANT(1000000000000000)

void console_reader_init(struct console_reader *reader, struct http_client *client, const char *vm)
{
    *reader = (struct console_reader){.client = client, .vm = vm};
}

/* host "": where it is now. */
static int ask(const struct console_reader *reader, const char *host, gint64 offset, unsigned wait_ms,
               JsonObject **ret_answer, struct err *err)
{
    g_autofree char *suffix =
        g_strdup_printf("/console?offset=%" G_GINT64_FORMAT "&wait_ms=%u", offset, wait_ms);
    g_autofree char *here = cli_path("/v1/vms/", reader->vm, suffix);
    g_autofree char *path = *host ? query_with(here, "host", host) : g_strdup(here);
    *ret_answer = NULL;
    if (http_client_call_sync(reader->client, &(struct http_call){"GET", path, NULL, CALL_S}, ret_answer,
                              err))
        return -1;
    if (!*ret_answer)
        *ret_answer = json_object_new();
    return 0;
}

/* An agent before this version does not say. */
static bool is_here(JsonObject *answer)
{
    return !json_object_has_member(answer, "here") || model_flag(answer, "here");
}

static int find_host(struct console_reader *reader, JsonObject **ret_answer, struct err *err)
{
    if (ask(reader, "", END_OF_LOG, 0, ret_answer, err) < 0)
        return -1;
    (void)g_strlcpy(reader->host, cli_string(*ret_answer, "host"), sizeof reader->host);
    return 0;
}

int console_reader_tail(struct console_reader *reader, struct err *err)
{
    g_autoptr(JsonObject) end = NULL;
    if (find_host(reader, &end, err) < 0)
        return -1;
    gint64 start = cli_number(end, "start"), size = cli_number(end, "size");
    reader->offset = MAX(start, size - TAIL_BYTES);
    if (reader->offset == start)
        return 0;
    g_autoptr(JsonObject) tail = NULL;
    if (ask(reader, reader->host, reader->offset, 0, &tail, err) < 0)
        return -1;
    const char *line = strchr(cli_string(tail, "text"), '\n');
    if (line) /* not from the middle of one */
        reader->offset = cli_number(tail, "offset") + (line + 1 - cli_string(tail, "text"));
    return 0;
}

/* The VM is not where its console was read so far. Where the next one is asked again until there is one. */
static int follow(struct console_reader *reader, bool *ret_moved, struct err *err)
{
    char left[sizeof reader->host];
    g_autoptr(JsonObject) end = NULL;
    (void)g_strlcpy(left, reader->host, sizeof left);
    g_usleep(PAUSE_US);
    if (find_host(reader, &end, err) < 0)
        return -1;
    *ret_moved = strcmp(left, reader->host) != 0 && is_here(end);
    if (*ret_moved)
        reader->offset = cli_number(end, "start");
    else
        (void)g_strlcpy(reader->host, left, sizeof reader->host);
    return 0;
}

int console_reader_next(struct console_reader *reader, unsigned wait_ms, char **ret_text, bool *ret_moved,
                        struct err *err)
{
    g_autoptr(JsonObject) answer = NULL;
    gint64 asked_us = g_get_monotonic_time();
    *ret_moved = false;
    *ret_text = NULL;
    if (ask(reader, reader->host, reader->offset, wait_ms, &answer, err) < 0)
        return -1;
    if (!*reader->host)
        (void)g_strlcpy(reader->host, cli_string(answer, "host"), sizeof reader->host);
    const char *text = cli_string(answer, "text");
    if (*text || is_here(answer))
        reader->offset = cli_number(answer, "next");
    else if (follow(reader, ret_moved, err) < 0)
        return -1;
    *ret_text = g_strdup(text);
    /* An agent before this version answers at once. */
    if (!*text && wait_ms && !*ret_moved && g_get_monotonic_time() - asked_us < PAUSE_US)
        g_usleep(PAUSE_US);
    return 0;
}
