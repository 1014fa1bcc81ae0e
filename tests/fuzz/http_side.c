/* SPDX-License-Identifier: Apache-2.0 */
#include "http_side.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "http/server.h"
#include "model/move.h"

#define IDLE_TURNS 8 /* so often nothing was to do: the server waits for us, or for ever */
#define TURNS_MAX 10000
#define REQUESTS_MAX 16

static const char *token_name;

static char *authorize(const char *token, void *user)
{
    (void)user;
    return !strcmp(token, "good") ? g_strdup(token_name) : NULL;
}

/* A warning of GLib that something is not what it should be is a finding, but for one: the HTTP library asks
 * a unix socket for its IP address when a request names no host, and goes on without. */
static void on_log(const gchar *domain, GLogLevelFlags level, const gchar *message, gpointer user)
{
    (void)user;
    bool is_known = domain && !strcmp(domain, "GLib-GIO") && g_str_has_prefix(message, "g_inet_");
    if (level & (G_LOG_LEVEL_CRITICAL | G_LOG_LEVEL_ERROR) && !is_known) {
        g_printerr("%s: %s\n", domain ? domain : "", message);
        must(!"GLib is content");
    }
}

void http_side_open(struct http_side *side, const struct http_route *routes, const char *name, void *user)
{
    const struct http_server_config config = {.routes = routes, .user = user, .authorize = authorize};
    /* The kernel chooses a name. */
    const struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct err err;
    token_name = name;
    (void)g_log_set_default_handler(on_log, NULL);
    side->address_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    must(side->address_fd >= 0);
    must(bind(side->address_fd, (const struct sockaddr *)&address, sizeof(sa_family_t)) == 0);
    must(http_server_new(&config, &side->server, &err) == 0);
    g_autoptr(GError) error = NULL;
    g_autoptr(GSocket) socket = g_socket_new_from_fd(side->address_fd, &error);
    must(socket && g_socket_listen(socket, &error));
    server_accept_from(side->server, socket, false);
}

static unsigned iterate(void)
{
    unsigned n = 0;
    while (n < TURNS_MAX && g_main_context_iteration(NULL, FALSE))
        n++;
    return n;
}

void http_side_close(struct http_side *side)
{
    http_server_free(side->server);
    (void)iterate();
}

/* False at the end of the connection. */
static bool hear(int fd, GString *answer)
{
    char buffer[4096];
    ssize_t got;
    while ((got = recv(fd, buffer, sizeof buffer, MSG_DONTWAIT)) > 0)
        (void)g_string_append_len(answer, buffer, got);
    return got < 0;
}

GString *http_side_ask(const struct http_side *side, const void *bytes, size_t size)
{
    struct sockaddr_un address;
    socklen_t address_size = sizeof address;
    GString *answer = g_string_new(NULL);
    must(getsockname(side->address_fd, (struct sockaddr *)&address, &address_size) == 0);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    must(fd >= 0 && connect(fd, (struct sockaddr *)&address, address_size) == 0);
    fuzz_say_all(fd, bytes, size);
    unsigned n_idle = 0;
    while (n_idle < IDLE_TURNS && hear(fd, answer))
        n_idle = iterate() ? 0 : n_idle + 1;
    (void)close(fd);
    (void)iterate();
    return answer;
}

unsigned http_side_status(const GString *answer, const char **ret_body)
{
    *ret_body = NULL;
    if (answer->len < 12 || (memcmp(answer->str, "HTTP/1.1 ", 9) && memcmp(answer->str, "HTTP/1.0 ", 9)))
        return 0;
    const char *end = strstr(answer->str, "\r\n\r\n");
    if (end)
        *ret_body = end + 4;
    return (unsigned)strtoul(answer->str + 9, NULL, 10);
}

void must_be_an_error(const char *body)
{
    g_autoptr(JsonObject) object = NULL;
    struct err err;
    must(model_parse(body, -1, &object, NULL) == 0);
    JsonNode *inner = json_object_get_member(object, "error");
    must(inner && JSON_NODE_HOLDS_OBJECT(inner));
    model_error_from_json(json_node_get_object(inner), &err);
    must_be_sound(&err);
    must(err.id[0] && err.message[0]);
}

static bool is_word(const char *text)
{
    return *text && text[strcspn(text, " \t\r\n\v\f")] == '\0' && g_str_is_ascii(text);
}

/* True if it is a request whose answer says something of us. */
static bool compose(struct input *request, GString *text)
{
    struct input head = input_until(request, "\n");
    g_autofree char *line = g_strndup((const char *)head.at, head.left);
    char *path = strchr(line, ' ');
    if (!path)
        return false;
    *path++ = '\0';
    if (!is_word(line) || !is_word(path) || *path != '/' || strchr(path, '#'))
        return false;
    g_string_append_printf(text,
                           "%s %s HTTP/1.1\r\nHost: m\r\nAuthorization: Bearer good\r\n"
                           "Accept: application/json\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n",
                           line, path, request->left);
    (void)g_string_append_len(text, (const char *)request->at, (gssize)request->left);
    return true;
}

static void ask_one(const struct http_side *side, const GString *text)
{
    const char *body;
    g_autoptr(GString) answer = http_side_ask(side, text->str, text->len);
    unsigned status = http_side_status(answer, &body);
    /* Streams and calls that wait have not answered yet. */
    must(!answer->len || (status >= 200 && status < 600 && status != 500));
    if (status >= 400 && body && *body == '{')
        must_be_an_error(body);
}

void http_side_ask_all(const struct http_side *side, struct input *input)
{
    for (unsigned n = 0; n < REQUESTS_MAX && input->left; n++) {
        struct input request = input_until(input, "\n.\n");
        g_autoptr(GString) text = g_string_new(NULL);
        if (compose(&request, text))
            ask_one(side, text);
    }
}
