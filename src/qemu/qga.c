/* SPDX-License-Identifier: Apache-2.0 */
#include "qemu/qga.h"

#include <errno.h>
#include <glib-unix.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "model/json.h"

#define ANSWER_BYTES_MAX 65536
#define READ_BYTES 4096
/* Neither JSON nor UTF-8 has this byte: the guest agent puts it before the answer to a sync, and forgets what
 * it has read so far when it sees one. */
#define DELIMITER '\xff'

struct qga_call {
    char *name;
    char *text; /* of the command; NULL when it is sent */
    qga_done done;
    void *user;
    int fd; /* -1: the connection could not be made */
    guint in_source, timer, idle;
    GString *input;
    gint64 sync;
    bool is_delimited; /* the answer to the sync may follow */
    bool is_synced;
    uint64_t sent_ns;
    unsigned timeout_ms;
};

static void source_clear(guint *source)
{
    if (*source)
        (void)g_source_remove(*source);
    *source = 0;
}

void qga_cancel(struct qga_call *call)
{
    if (!call)
        return;
    source_clear(&call->in_source);
    source_clear(&call->timer);
    source_clear(&call->idle);
    if (call->fd >= 0)
        (void)close(call->fd);
    (void)g_string_free(call->input, TRUE);
    g_free(call->name);
    g_free(call->text);
    g_free(call);
}

static void end(struct qga_call *call, JsonNode *result, const struct err *err)
{
    uint64_t round_trip_ns = call->sent_ns ? clock_now_ns() - call->sent_ns : 0;
    qga_done done = call->done;
    void *user = call->user;
    qga_cancel(call);
    done(result, round_trip_ns, err, user);
}

static void lost(struct qga_call *call, const char *why)
{
    struct err err;
    (void)err_set(&err, ERR_PEER_LOST, "guest-agent-lost", "the guest agent could not be asked");
    (void)err_cause(&err, "%s", why);
    end(call, NULL, &err);
}

/* A command fits into the buffer of a new socket: a part of it means that something is wrong. */
static int send_text(const struct qga_call *call, const char *text)
{
    size_t length = strlen(text);
    ssize_t sent;
    do
        sent = send(call->fd, text, length, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (sent < 0 && errno == EINTR);
    return sent == (ssize_t)length ? 0 : -1;
}

/* NULL: it said nothing that means anything. */
static JsonObject *parse(const char *line, size_t length)
{
    JsonObject *object = NULL;
    return model_parse(line, (gssize)length, &object, NULL) < 0 ? NULL : object;
}

/* False: the call is over. */
static bool take_sync(struct qga_call *call, const char *line, size_t length)
{
    g_autoptr(JsonObject) object = parse(line, length);
    if (!call->is_delimited || !object || model_int(object, "return", -1) != call->sync)
        return true;
    call->is_synced = true;
    call->sent_ns = clock_now_ns();
    if (send_text(call, call->text) == 0)
        return true;
    lost(call, "the command could not be sent");
    return false;
}

static void take_answer(struct qga_call *call, const char *line, size_t length)
{
    g_autoptr(JsonObject) object = parse(line, length);
    struct err err = {0};
    if (!object) {
        lost(call, "it answered with something that is not a JSON object");
        return;
    }
    if (!json_object_has_member(object, "error")) {
        end(call, json_object_get_member(object, "return"), &err);
        return;
    }
    JsonNode *node = json_object_get_member(object, "error");
    const char *text = JSON_NODE_HOLDS_OBJECT(node) ? model_text(json_node_get_object(node), "desc") : "";
    (void)err_set(&err, ERR_REFUSED, "guest-agent-refused", "the guest agent refused '%s'", call->name);
    (void)err_arg(&err, "command", "%s", call->name);
    (void)err_cause(&err, "%s", text[0] ? text : "it gave no reason");
    end(call, NULL, &err);
}

/* The first whole line of the input, which is cut off; NULL: there is none. g_free. */
static char *next_line(struct qga_call *call, size_t *ret_length)
{
    if (!call->is_synced) {
        const char *last = memrchr(call->input->str, DELIMITER, call->input->len);
        if (last) {
            (void)g_string_erase(call->input, 0, last - call->input->str + 1);
            call->is_delimited = true;
        }
    }
    const char *newline = memchr(call->input->str, '\n', call->input->len);
    if (!newline)
        return NULL;
    *ret_length = (size_t)(newline - call->input->str);
    char *line = g_memdup2(call->input->str, *ret_length + 1);
    line[*ret_length] = '\0';
    (void)g_string_erase(call->input, 0, (gssize)*ret_length + 1);
    return line;
}

static void take_input(struct qga_call *call)
{
    for (;;) {
        size_t length;
        g_autofree char *line = next_line(call, &length);
        if (!line)
            return;
        if (call->is_synced) {
            take_answer(call, line, length);
            return;
        }
        if (!take_sync(call, line, length))
            return;
    }
}

static gboolean on_readable(gint fd, GIOCondition condition, gpointer user)
{
    (void)condition;
    struct qga_call *call = user;
    char buffer[READ_BYTES];
    ssize_t got;
    do
        got = recv(fd, buffer, sizeof buffer, MSG_DONTWAIT);
    while (got < 0 && errno == EINTR);
    if (got < 0 && errno == EAGAIN)
        return G_SOURCE_CONTINUE;
    if (got <= 0) {
        /* The source goes with the call. */
        lost(call, got < 0 ? strerror(errno) : "QEMU closed the connection");
    } else if (call->input->len + (size_t)got > ANSWER_BYTES_MAX) {
        lost(call, "it sent more than an answer can have");
    } else {
        (void)g_string_append_len(call->input, buffer, got);
        take_input(call);
    }
    return G_SOURCE_CONTINUE;
}

static gboolean on_timeout(gpointer user)
{
    struct qga_call *call = user;
    struct err err;
    double seconds = call->timeout_ms / 1e3;
    call->timer = 0;
    (void)err_set(&err, ERR_TIMEOUT, "guest-agent-silent",
                  "the agent waited %.1f s in vain for the guest agent to answer '%s'", seconds, call->name);
    (void)err_cause(&err, call->is_synced ? "it took the command and has not answered"
                                          : "nothing in the guest answers: no guest agent runs there, or the "
                                            "guest hangs");
    (void)err_fix(&err, "install and start qemu-guest-agent in the guest");
    (void)err_arg(&err, "waited_s", "%.1f", seconds);
    (void)err_arg(&err, "command", "%s", call->name);
    end(call, NULL, &err);
    return G_SOURCE_REMOVE;
}

static gboolean on_begin(gpointer user)
{
    struct qga_call *call = user;
    call->idle = 0;
    if (call->fd < 0) {
        lost(call, "its socket does not take connections");
        return G_SOURCE_REMOVE;
    }
    g_autofree char *sync = g_strdup_printf(
        "%c{\"execute\":\"guest-sync-delimited\",\"arguments\":{\"id\":%" G_GINT64_FORMAT "}}\n", DELIMITER,
        call->sync);
    call->in_source = g_unix_fd_add(call->fd, G_IO_IN | G_IO_HUP | G_IO_ERR, on_readable, call);
    if (send_text(call, sync) < 0)
        lost(call, "the command could not be sent");
    return G_SOURCE_REMOVE;
}

static char *command_text(const struct qga_command *command)
{
    g_autoptr(JsonObject) object = json_object_new();
    json_object_set_string_member(object, "execute", command->name);
    if (command->arguments)
        json_object_set_object_member(object, "arguments", command->arguments);
    g_autofree char *text = model_print(object, false);
    return g_strconcat(text, "\n", NULL);
}

static int connect_to(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (g_strlcpy(address.sun_path, path, sizeof address.sun_path) >= sizeof address.sun_path)
        return -1;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) < 0) {
        (void)close(fd);
        fd = -1;
    }
    return fd;
}

struct qga_call *qga_call(const struct qga_command *command, qga_done done, void *user)
{
    struct qga_call *call = g_new0(struct qga_call, 1);
    call->name = g_strdup(command->name);
    call->text = command_text(command);
    call->done = done;
    call->user = user;
    call->input = g_string_new(NULL);
    call->sync = g_random_int_range(1, G_MAXINT32);
    call->timeout_ms = command->timeout_ms;
    call->fd = connect_to(command->path);
    call->timer = g_timeout_add(command->timeout_ms, on_timeout, call);
    call->idle = g_idle_add(on_begin, call);
    return call;
}
