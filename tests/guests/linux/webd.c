/* SPDX-License-Identifier: Apache-2.0 */
/*
 * usage: webd PORT
 * A small HTTP/1.1 server with keep-alive for tests. GET /count counts its requests in memory; GET /work and
 * GET /disk answer with the last figures of dirtier and diskd.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* max_connections stays below the kernel's default limit of 1024 descriptors, which poll(2) enforces too. */
enum { max_connections = 900, request_bytes = 2048, answer_bytes = 1024 };

struct connection {
    size_t n_in, n_out, n_sent;
    bool close_after;
    char in[request_bytes];
    char out[answer_bytes];
};

static struct pollfd polls[max_connections + 1]; /* [0] listens, [i + 1] belongs to connections[i] */
static struct connection *connections[max_connections];
static char boot_id[64];
static uint64_t count;

static void die(const char *what)
{
    fprintf(stderr, "webd: %s: %s\n", what, strerror(errno));
    exit(1);
}

static uint64_t uptime_ms(void)
{
    struct timespec now;
    if (clock_gettime(CLOCK_BOOTTIME, &now))
        die("clock_gettime");
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Reads a whole small file; an absent one gives an empty text. */
static void read_text(const char *path, char *text, size_t size)
{
    ssize_t n = 0;
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        n = read(fd, text, size - 1);
        (void)close(fd);
    }
    text[n > 0 ? n : 0] = 0;
    text[strcspn(text, "\n")] = 0;
}

static void answer(struct connection *connection, int status, const char *body)
{
    const char *reason = status == 200 ? "OK" : status == 404 ? "Not Found" : "Bad Request";
    const int n =
        snprintf(connection->out, sizeof connection->out,
                 "HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n"
                 "Connection: %s\r\n\r\n%s\n",
                 status, reason, strlen(body) + 1, connection->close_after ? "close" : "keep-alive", body);
    connection->n_out = (size_t)n < sizeof connection->out ? (size_t)n : sizeof connection->out - 1;
    connection->n_sent = 0;
}

static void answer_figures(struct connection *connection, const char *path)
{
    char body[512];
    read_text(path, body, sizeof body);
    answer(connection, body[0] ? 200 : 404, body[0] ? body : "{\"error\":\"not running\"}");
}

static void serve(struct connection *connection, const char *head)
{
    char body[256];
    connection->close_after = strcasestr(head, "\r\nconnection: close") || strstr(head, " HTTP/1.0\r\n");
    if (!strncmp(head, "GET /count ", 11)) {
        (void)snprintf(body, sizeof body, "{\"count\":%llu,\"boot_id\":\"%s\",\"uptime_ms\":%llu}",
                       (unsigned long long)++count, boot_id, (unsigned long long)uptime_ms());
        answer(connection, 200, body);
    } else if (!strncmp(head, "GET /work ", 10)) {
        answer_figures(connection, "/run/work.json");
    } else if (!strncmp(head, "GET /disk ", 10)) {
        answer_figures(connection, "/run/disk.json");
    } else if (!strncmp(head, "GET ", 4)) {
        answer(connection, 404, "{\"error\":\"no such path\"}");
    } else {
        connection->close_after = true;
        answer(connection, 400, "{\"error\":\"only GET\"}");
    }
}

/* Takes the next whole request out of the buffer. False if there is none yet. */
static bool next_request(struct connection *connection)
{
    connection->in[connection->n_in] = 0;
    char *end = strstr(connection->in, "\r\n\r\n");
    if (!end) {
        if (connection->n_in < sizeof connection->in - 1)
            return false;
        connection->close_after = true;
        answer(connection, 400, "{\"error\":\"request too long\"}");
        return true;
    }
    end[2] = 0;
    serve(connection, connection->in);
    const size_t used = (size_t)(end + 4 - connection->in);
    connection->n_in -= used;
    memmove(connection->in, end + 4, connection->n_in);
    return true;
}

static void drop(unsigned i)
{
    (void)close(polls[i + 1].fd);
    polls[i + 1].fd = -1;
    free(connections[i]);
    connections[i] = NULL;
}

/* Writes what is to be written. False if the connection is over. */
static bool flush_out(struct connection *connection, int fd)
{
    while (connection->n_sent < connection->n_out) {
        const ssize_t n = send(fd, connection->out + connection->n_sent,
                               connection->n_out - connection->n_sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0)
            return errno == EAGAIN || errno == EINTR;
        connection->n_sent += (size_t)n;
    }
    connection->n_out = connection->n_sent = 0;
    return !connection->close_after;
}

static bool step(struct connection *connection, struct pollfd *poll_fd)
{
    if (poll_fd->revents & POLLIN) {
        const ssize_t n = recv(poll_fd->fd, connection->in + connection->n_in,
                               sizeof connection->in - 1 - connection->n_in, MSG_DONTWAIT);
        if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
            return false;
        if (n > 0)
            connection->n_in += (size_t)n;
    } else if (poll_fd->revents & (POLLERR | POLLHUP | POLLNVAL)) {
        return false;
    }
    do
        if (!flush_out(connection, poll_fd->fd))
            return false;
    while (connection->n_out == 0 && next_request(connection));
    poll_fd->events = connection->n_out ? POLLOUT : POLLIN;
    return true;
}

static void take_new(void)
{
    const int fd = accept4(polls[0].fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0)
        return;
    for (unsigned i = 0; i < max_connections; i++) {
        if (connections[i])
            continue;
        connections[i] = calloc(1, sizeof *connections[i]);
        if (!connections[i])
            break;
        polls[i + 1] = (struct pollfd){.fd = fd, .events = POLLIN};
        return;
    }
    (void)close(fd);
}

static int listen_on(uint16_t port)
{
    const int yes = 1, no = 0;
    const struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    const int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        die("socket");
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) ||
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof no))
        die("setsockopt");
    if (bind(fd, (const struct sockaddr *)&address, sizeof address) || listen(fd, 512))
        die("listen");
    return fd;
}

int main(int argc, char **argv)
{
    const long port = argc == 2 ? strtol(argv[1], NULL, 10) : 0;
    if (port < 1 || port > 65535) {
        fprintf(stderr, "usage: webd PORT\n");
        return 2;
    }
    read_text("/proc/sys/kernel/random/boot_id", boot_id, sizeof boot_id);
    for (unsigned i = 0; i <= max_connections; i++)
        polls[i].fd = -1;
    polls[0] = (struct pollfd){.fd = listen_on((uint16_t)port), .events = POLLIN};
    for (;;) {
        if (poll(polls, max_connections + 1, -1) < 0) {
            if (errno == EINTR)
                continue;
            die("poll");
        }
        for (unsigned i = 0; i < max_connections; i++)
            if (polls[i + 1].fd >= 0 && polls[i + 1].revents && !step(connections[i], &polls[i + 1]))
                drop(i);
        if (polls[0].revents)
            take_new();
    }
}
