/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One connection, lines of JSON from QEMU. Commands are sent as they are asked for; QEMU answers them in that
 * order, so the oldest waiting call owns the next answer, and its id is checked. Callbacks may free the
 * client: `dispatching` keeps the memory until the outermost dispatch returns.
 */
#include "qemu/qmp.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "model/move.h"

#define CONNECT_RETRY_MS 20
#define GREETING_MS 3000
#define LINE_BYTES_MAX (8u << 20) /* the longest answer (query-qmp-schema) has 200 KiB */
#define READ_BYTES 65536

struct call {
    uint64_t id;
    char *command;
    qmp_done done;
    void *user;
    guint timer;
    uint64_t asked_ns;
    struct qmp *qmp;
    /* until it is sent */
    char *text;
    size_t length, sent;
    int fd;
};

struct qmp {
    char *path;
    qmp_ready ready;
    qmp_event event;
    qmp_closed closed;
    void *user;
    int fd; /* -1: not connected */
    guint in_source, out_source, retry_timer, deadline_timer, greeting_timer;
    GString *input;
    GQueue unsent;  /* struct call, also in `waiting` */
    GQueue waiting; /* struct call, oldest first */
    uint64_t last_id;
    uint64_t heard_ns; /* when QEMU said anything last; 0: never */
    uint64_t begun_ns; /* when it was first tried to connect */
    bool greeted, is_ready;
    unsigned dispatching;
    bool freed;
};

static void try_connect(struct qmp *qmp);

static void source_clear(guint *source)
{
    if (*source)
        (void)g_source_remove(*source);
    *source = 0;
}

static void call_free(struct call *call)
{
    source_clear(&call->timer);
    if (call->fd >= 0)
        (void)close(call->fd);
    g_free(call->command);
    g_free(call->text);
    g_free(call);
}

static void enter(struct qmp *qmp)
{
    qmp->dispatching++;
}

/* True if the client still lives. */
static bool leave(struct qmp *qmp)
{
    bool alive = !qmp->freed;
    if (--qmp->dispatching == 0 && qmp->freed)
        g_free(qmp);
    return alive;
}

/* Takes the call off both queues and tells its owner. */
static void call_end(struct qmp *qmp, struct call *call, JsonNode *result, const struct err *err)
{
    (void)g_queue_remove(&qmp->waiting, call);
    (void)g_queue_remove(&qmp->unsent, call);
    call->done(result, err, call->user);
    call_free(call);
}

static void fail_all(struct qmp *qmp, const struct err *err)
{
    struct call *call;
    while ((call = g_queue_peek_head(&qmp->waiting)))
        call_end(qmp, call, NULL, err);
}

static void disconnect(struct qmp *qmp)
{
    source_clear(&qmp->in_source);
    source_clear(&qmp->out_source);
    source_clear(&qmp->greeting_timer);
    if (qmp->fd >= 0)
        (void)close(qmp->fd);
    qmp->fd = -1;
    qmp->greeted = false;
    g_string_truncate(qmp->input, 0);
}

static gboolean on_retry(gpointer user)
{
    struct qmp *qmp = user;
    qmp->retry_timer = 0;
    try_connect(qmp);
    return G_SOURCE_REMOVE;
}

/* Before it is ready, the end of a connection only means: QEMU is not there yet. */
static void connection_lost(struct qmp *qmp, const char *why)
{
    enter(qmp);
    bool was_ready = qmp->is_ready;
    disconnect(qmp);
    struct err err;
    (void)err_set(&err, ERR_PEER_LOST, "qmp-lost", "QEMU closed its control connection");
    (void)err_cause(&err, "%s", why);
    if (was_ready) {
        qmp->is_ready = false;
        fail_all(qmp, &err);
        if (!qmp->freed && qmp->closed)
            qmp->closed(qmp->user);
    } else {
        struct call *call = g_queue_pop_head(&qmp->waiting); /* qmp_capabilities, if it was sent */
        if (call) {
            (void)g_queue_remove(&qmp->unsent, call);
            call_free(call);
        }
        if (!qmp->retry_timer)
            qmp->retry_timer = g_timeout_add(CONNECT_RETRY_MS, on_retry, qmp);
    }
    (void)leave(qmp);
}

static ssize_t send_some(int socket, struct call *call)
{
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct iovec data = {.iov_base = call->text + call->sent, .iov_len = call->length - call->sent};
    struct msghdr header = {.msg_iov = &data, .msg_iovlen = 1};
    if (call->fd >= 0) {
        header.msg_control = control.space;
        header.msg_controllen = sizeof control.space;
        struct cmsghdr *rights = CMSG_FIRSTHDR(&header);
        rights->cmsg_level = SOL_SOCKET;
        rights->cmsg_type = SCM_RIGHTS;
        rights->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(rights), &call->fd, sizeof(int));
    }
    ssize_t sent;
    do
        sent = sendmsg(socket, &header, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (sent < 0 && errno == EINTR);
    return sent;
}

static gboolean on_writable(gint fd, GIOCondition condition, gpointer user);

static void flush(struct qmp *qmp)
{
    struct call *call;
    while (qmp->fd >= 0 && (call = g_queue_peek_head(&qmp->unsent))) {
        ssize_t sent = send_some(qmp->fd, call);
        if (sent < 0 && errno == EAGAIN) {
            if (!qmp->out_source)
                qmp->out_source = g_unix_fd_add(qmp->fd, G_IO_OUT, on_writable, qmp);
            return;
        }
        if (sent < 0)
            return; /* the reading side sees the end and reports it once */
        if (call->fd >= 0) {
            (void)close(call->fd);
            call->fd = -1;
        }
        call->sent += (size_t)sent;
        if (call->sent == call->length)
            (void)g_queue_pop_head(&qmp->unsent);
    }
}

static gboolean on_writable(gint fd, GIOCondition condition, gpointer user)
{
    (void)fd;
    (void)condition;
    struct qmp *qmp = user;
    qmp->out_source = 0;
    flush(qmp);
    return G_SOURCE_REMOVE;
}

static void ignore_answer(JsonNode *result, const struct err *err, void *user)
{
    (void)result;
    (void)err;
    (void)user;
}

static double seconds_since(uint64_t then_ns)
{
    return (double)(clock_now_ns() - then_ns) / (double)NS_PER_S;
}

static gboolean on_call_timeout(gpointer user)
{
    struct call *call = user;
    struct qmp *qmp = call->qmp;
    call->timer = 0;
    struct err err;
    (void)err_set(&err, ERR_TIMEOUT, "qmp-timeout", "the agent waited %.1f s in vain for QEMU to answer '%s'",
                  seconds_since(call->asked_ns), call->command);
    (void)err_cause(&err, "QEMU said something %.1f s before for the last time: it hangs, or is stopped",
                    seconds_since(qmp->heard_ns));
    (void)err_fix(&err, "see what holds QEMU up (a disk that does not answer, a signal), or end it");
    (void)err_arg(&err, "command", "%s", call->command);
    (void)err_arg(&err, "waited_s", "%.1f", seconds_since(call->asked_ns));
    (void)err_arg(&err, "silent_s", "%.1f", seconds_since(qmp->heard_ns));
    qmp_done done = call->done;
    void *owner = call->user;
    /* A late answer must still find its place in the order; only the owner is told now. */
    call->done = ignore_answer;
    enter(qmp);
    done(NULL, &err, owner);
    (void)leave(qmp);
    return G_SOURCE_REMOVE;
}

static struct call *call_new(struct qmp *qmp, const char *command, JsonObject *arguments)
{
    struct call *call = g_new0(struct call, 1);
    call->qmp = qmp;
    call->id = ++qmp->last_id;
    call->asked_ns = clock_now_ns();
    call->command = g_strdup(command);
    call->fd = -1;
    call->done = ignore_answer;
    JsonObject *object = json_object_new();
    json_object_set_string_member(object, "execute", command);
    json_object_set_int_member(object, "id", (gint64)call->id);
    if (arguments)
        json_object_set_object_member(object, "arguments", arguments);
    g_autoptr(JsonNode) node = json_node_alloc();
    json_node_init_object(node, object);
    json_object_unref(object);
    /* Without an end of line: QEMU reads byte by byte, with several system calls for each, and carries a
     * command out when its last brace has come. */
    call->text = json_to_string(node, FALSE);
    call->length = strlen(call->text);
    return call;
}

static void capabilities_done(JsonNode *result, const struct err *err, void *user)
{
    (void)result;
    struct qmp *qmp = user;
    source_clear(&qmp->deadline_timer);
    qmp->is_ready = !err_is_set(err);
    qmp->ready(err, qmp->user);
}

static void take_answer(struct qmp *qmp, JsonObject *object)
{
    struct call *call = g_queue_peek_head(&qmp->waiting);
    if (!call || model_int(object, "id", 0) != (gint64)call->id) {
        connection_lost(qmp, "an answer came out of order");
        return;
    }
    struct err err = {0};
    log_debug("QEMU answered '%s' after %llu us", call->command,
              (unsigned long long)(clock_now_ns() - call->asked_ns) / 1000);
    if (json_object_has_member(object, "error")) {
        JsonNode *node = json_object_get_member(object, "error");
        const char *text = JSON_NODE_HOLDS_OBJECT(node) ? model_text(json_node_get_object(node), "desc") : "";
        (void)err_set(&err, ERR_REFUSED, "qemu-refused", "QEMU refused '%s'", call->command);
        (void)err_arg(&err, "command", "%s", call->command);
        (void)err_cause(&err, "%s", text[0] ? text : "no description");
        call_end(qmp, call, NULL, &err);
        return;
    }
    call_end(qmp, call, json_object_get_member(object, "return"), &err);
}

static void take_line(struct qmp *qmp, const char *line, size_t length)
{
    g_autoptr(JsonObject) object = NULL;
    if (model_parse(line, (gssize)length, &object, NULL) < 0) {
        connection_lost(qmp, "it sent a line that is not a JSON object");
        return;
    }
    if (json_object_has_member(object, "QMP") && !qmp->greeted) {
        qmp->greeted = true;
        struct call *call = call_new(qmp, "qmp_capabilities", NULL);
        call->done = capabilities_done;
        call->user = qmp;
        g_queue_push_head(&qmp->waiting, call);
        g_queue_push_head(&qmp->unsent, call);
        flush(qmp);
    } else if (json_object_has_member(object, "event")) {
        JsonNode *data = json_object_get_member(object, "data");
        log_debug("QEMU reports %s", model_text(object, "event"));
        if (qmp->event)
            qmp->event(model_text(object, "event"),
                       data && JSON_NODE_HOLDS_OBJECT(data) ? json_node_get_object(data) : NULL, qmp->user);
    } else {
        take_answer(qmp, object);
    }
}

static void take_lines(struct qmp *qmp)
{
    char *end;
    while (!qmp->freed && qmp->fd >= 0 && (end = memchr(qmp->input->str, '\n', qmp->input->len))) {
        size_t length = (size_t)(end - qmp->input->str);
        g_autofree char *line = g_strndup(qmp->input->str, length);
        (void)g_string_erase(qmp->input, 0, (gssize)length + 1);
        take_line(qmp, line, length);
    }
}

static gboolean on_readable(gint fd, GIOCondition condition, gpointer user)
{
    (void)condition;
    struct qmp *qmp = user;
    char buffer[READ_BYTES];
    ssize_t got;
    do
        got = recv(fd, buffer, sizeof buffer, MSG_DONTWAIT);
    while (got < 0 && errno == EINTR);
    if (got < 0 && errno == EAGAIN)
        return G_SOURCE_CONTINUE;
    enter(qmp);
    if (got <= 0) {
        connection_lost(qmp, got < 0 ? strerror(errno) : "end of stream");
    } else {
        qmp->heard_ns = clock_now_ns();
        (void)g_string_append_len(qmp->input, buffer, got);
        if (qmp->input->len > LINE_BYTES_MAX)
            connection_lost(qmp, "it sent a line that is too long");
        take_lines(qmp);
    }
    bool connected = !qmp->freed && qmp->fd == fd;
    (void)leave(qmp);
    return connected ? G_SOURCE_CONTINUE : G_SOURCE_REMOVE;
}

void qmp_take_rest(struct qmp *qmp)
{
    int n = 0;
    enter(qmp);
    while (!qmp->freed && qmp->fd >= 0 && ioctl(qmp->fd, FIONREAD, &n) == 0 && n > 0)
        (void)on_readable(qmp->fd, G_IO_IN, qmp);
    (void)leave(qmp);
}

/* A QEMU that starts on a busy machine may accept a connection before its monitor listens to it: its greeting
 * is lost, and it would wait for ever. A new connection is greeted. */
static gboolean on_no_greeting(gpointer user)
{
    struct qmp *qmp = user;
    qmp->greeting_timer = 0;
    if (!qmp->greeted)
        connection_lost(qmp, "it did not greet");
    return G_SOURCE_REMOVE;
}

static void try_connect(struct qmp *qmp)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    g_strlcpy(address.sun_path, qmp->path, sizeof address.sun_path);
    auto_fd fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) < 0) {
        qmp->retry_timer = g_timeout_add(CONNECT_RETRY_MS, on_retry, qmp);
        return;
    }
    qmp->fd = steal_fd(&fd);
    qmp->in_source = g_unix_fd_add(qmp->fd, G_IO_IN | G_IO_HUP | G_IO_ERR, on_readable, qmp);
    qmp->greeting_timer = g_timeout_add(GREETING_MS, on_no_greeting, qmp);
}

static gboolean on_deadline(gpointer user)
{
    struct qmp *qmp = user;
    qmp->deadline_timer = 0;
    source_clear(&qmp->retry_timer);
    struct err err;
    (void)err_set(&err, ERR_TIMEOUT, "qmp-no-connection",
                  "the agent waited %.1f s in vain for QEMU to open its control connection",
                  seconds_since(qmp->begun_ns));
    (void)err_cause(&err,
                    qmp->heard_ns ? "it said something on the socket %s, and was not ready"
                                  : "nothing was heard on the socket %s",
                    qmp->path);
    (void)err_arg(&err, "waited_s", "%.1f", seconds_since(qmp->begun_ns));
    (void)err_arg(&err, "socket", "%s", qmp->path);
    disconnect(qmp);
    enter(qmp);
    qmp->ready(&err, qmp->user);
    (void)leave(qmp);
    return G_SOURCE_REMOVE;
}

struct qmp *qmp_new(const struct qmp_config *config)
{
    struct qmp *qmp = g_new0(struct qmp, 1);
    qmp->path = g_strdup(config->path);
    qmp->ready = config->ready;
    qmp->event = config->event;
    qmp->closed = config->closed;
    qmp->user = config->user;
    qmp->fd = -1;
    qmp->begun_ns = clock_now_ns();
    qmp->input = g_string_new(NULL);
    g_queue_init(&qmp->unsent);
    g_queue_init(&qmp->waiting);
    qmp->deadline_timer = g_timeout_add(config->deadline_ms, on_deadline, qmp);
    qmp->retry_timer = g_idle_add(on_retry, qmp);
    return qmp;
}

struct lost_call {
    qmp_done done;
    void *user;
};

static gboolean on_lost_call(gpointer user)
{
    struct lost_call *lost = user;
    struct err err;
    (void)err_set(&err, ERR_PEER_LOST, "qmp-lost", "QEMU's control connection is not open");
    lost->done(NULL, &err, lost->user);
    g_free(lost);
    return G_SOURCE_REMOVE;
}

void qmp_call(struct qmp *qmp, const struct qmp_command *command, qmp_done done, void *user)
{
    struct call *call = call_new(qmp, command->name, command->arguments);
    if (command->fd >= 0)
        call->fd = fcntl(command->fd, F_DUPFD_CLOEXEC, 0);
    if (!qmp->is_ready || (command->fd >= 0 && call->fd < 0)) {
        struct lost_call *lost = g_new(struct lost_call, 1);
        *lost = (struct lost_call){.done = done ? done : ignore_answer, .user = user};
        (void)g_idle_add(on_lost_call, lost);
        call_free(call);
        return;
    }
    call->done = done ? done : ignore_answer;
    call->user = user;
    call->timer = g_timeout_add(command->timeout_ms, on_call_timeout, call);
    g_queue_push_tail(&qmp->waiting, call);
    g_queue_push_tail(&qmp->unsent, call);
    flush(qmp);
}

void qmp_free(struct qmp *qmp)
{
    if (!qmp)
        return;
    enter(qmp);
    disconnect(qmp);
    source_clear(&qmp->retry_timer);
    source_clear(&qmp->deadline_timer);
    struct err err;
    (void)err_set(&err, ERR_CANCELLED, "qmp-closed", "the control connection to QEMU was closed");
    bool was_ready = qmp->is_ready;
    qmp->is_ready = false;
    struct call *call;
    while ((call = g_queue_pop_head(&qmp->waiting))) {
        (void)g_queue_remove(&qmp->unsent, call);
        if (was_ready)
            call->done(NULL, &err, call->user);
        call_free(call);
    }
    (void)g_string_free(qmp->input, TRUE);
    g_free(qmp->path);
    qmp->freed = true;
    (void)leave(qmp);
}
