/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a server answers to our HTTP client, as manager, agents and the command line use it. The first byte
 * chooses: a call, or a stream of events; the rest is what the server says, whatever it is asked. The call
 * ends with an object or a sound error, events are objects with a name.
 */
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "fuzz.h"
#include "http/http.h"

#define PATH "server.sock" /* in the folder of this run */

struct server {
    int listener;
    struct input words;
};

static struct server server = {.listener = -1};
static struct http_client *client;

static void set_up(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = PATH};
    g_autofree char *folder = g_get_current_dir();
    g_autofree char *base = g_strdup_printf("unix:%s/%s", folder, PATH);
    const struct http_client_config config = {.base = base, .token = "good", .protocol = 1};
    struct err err;
    (void)g_log_set_always_fatal(G_LOG_LEVEL_CRITICAL | G_LOG_LEVEL_ERROR);
    (void)unlink(PATH);
    server.listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    must(server.listener >= 0 && bind(server.listener, (struct sockaddr *)&address, sizeof address) == 0);
    must(listen(server.listener, 8) == 0);
    must(http_client_new(&config, &client, &err) == 0);
}

/* One connection: hears the beginning of a request, says all it has to say, and waits for the end. */
static void *serve(void *user)
{
    struct server *self = user;
    char ignored[4096];
    int fd = accept4(self->listener, NULL, NULL, SOCK_CLOEXEC);
    must(fd >= 0);
    ssize_t got = recv(fd, ignored, sizeof ignored, 0);
    if (got > 0 && self->words.left)
        (void)!send(fd, self->words.at, self->words.left, MSG_NOSIGNAL);
    (void)shutdown(fd, SHUT_WR);
    while (got > 0)
        got = recv(fd, ignored, sizeof ignored, 0);
    (void)close(fd);
    return NULL;
}

static void call(void)
{
    const struct http_call about = {.method = "GET", .path = "/v1/about"};
    JsonObject *object = NULL;
    struct err err = {0};
    if (http_client_call_sync(client, &about, &object, &err) < 0)
        must_be_sound(&err);
    g_clear_pointer(&object, json_object_unref);
}

static bool on_event(const char *name, JsonObject *object, void *user)
{
    must(name && *name && object);
    return ++*(unsigned *)user < 100;
}

static void follow(void)
{
    unsigned n = 0;
    struct err err = {0};
    if (http_client_events_sync(client, "/v1/events", on_event, &n, &err) < 0)
        must_be_sound(&err);
    must(n <= 100);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input whole = {data, size}, input = input_part(&whole, 64 << 10);
    pthread_t thread;
    if (server.listener < 0)
        set_up();
    bool is_stream = input_number(&input, 1) & 1;
    server.words = input;
    must(pthread_create(&thread, NULL, serve, &server) == 0);
    if (is_stream)
        follow();
    else
        call();
    must(pthread_join(thread, NULL) == 0);
    return 0;
}
