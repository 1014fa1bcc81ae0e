/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The client outside: asks the guest's web server for its counter every 10 ms, over one connection that stays
 * open (requests are sent on time, answered or not) and over a new connection each time. Knows the longest
 * time without an answer on either, and whether the counter ever went back.
 *
 * observer ADDRESS PORT: prints one line of JSON when it is ready; SIGUSR1 prints another and starts the gaps
 * anew; SIGTERM or SIGINT prints the last line and ends. "regressions" and "reboots" count over the whole
 * life.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define TICK_NS 10000000
#define FRESH_MAX 512
#define BUFFER_SIZE 16384
#define FRESH_TIMEOUT_NS 20000000000ull

static const char request[] = "GET /count HTTP/1.1\r\nHost: guest\r\n\r\n";
static const char last_request[] = "GET /count HTTP/1.1\r\nHost: guest\r\nConnection: close\r\n\r\n";

struct connection {
    int fd; /* -1: free */
    bool sent;
    uint64_t opened_ns;
    uint64_t newest; /* highest counter seen on this connection */
    size_t length;
    char buffer[BUFFER_SIZE];
};

struct path {
    uint64_t answers;
    uint64_t failures;
    uint64_t last_ns; /* of the newest answer */
    uint64_t gap_ns;  /* longest time without an answer since the last report */
};

struct observer {
    struct sockaddr_in server;
    struct connection kept;
    struct connection fresh[FRESH_MAX];
    struct path kept_path;
    struct path fresh_path;
    uint64_t highest; /* counter in the newest answer of the kept connection */
    uint64_t regressions;
    uint64_t reboots;
    uint64_t reconnects;
    char boot_id[64];
};

static uint64_t now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
}

static void note_gap(struct path *path)
{
    uint64_t now = now_ns();
    if (path->last_ns && now - path->last_ns > path->gap_ns)
        path->gap_ns = now - path->last_ns;
}

static int open_connection(struct observer *observer, struct connection *connection)
{
    connection->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (connection->fd < 0)
        return -1;
    int on = 1;
    (void)setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    connection->sent = false;
    connection->length = 0;
    connection->newest = 0;
    connection->opened_ns = now_ns();
    if (connect(connection->fd, (struct sockaddr *)&observer->server, sizeof observer->server) < 0 &&
        errno != EINPROGRESS) {
        (void)close(connection->fd);
        connection->fd = -1;
        return -1;
    }
    return 0;
}

static void close_connection(struct connection *connection)
{
    if (connection->fd >= 0)
        (void)close(connection->fd);
    connection->fd = -1;
}

/* Answers of one connection come in order, so its counter must rise; and the guest must be the one that was
 * met first. */
static void take_answer(struct observer *observer, struct connection *connection, struct path *path,
                        const char *body)
{
    const char *count = strstr(body, "\"count\":");
    const char *boot = strstr(body, "\"boot_id\":\"");
    uint64_t value = count ? strtoull(count + strlen("\"count\":"), NULL, 10) : 0;
    uint64_t floor = connection == &observer->kept ? observer->highest : connection->newest;
    if (!count || value <= floor)
        observer->regressions++;
    connection->newest = value;
    if (connection == &observer->kept)
        observer->highest = value;
    if (boot) {
        char id[sizeof observer->boot_id] = "";
        (void)sscanf(boot + strlen("\"boot_id\":\""), "%63[^\"]", id);
        if (observer->boot_id[0] && strcmp(observer->boot_id, id))
            observer->reboots++;
        memcpy(observer->boot_id, id, sizeof id);
    }
    note_gap(path);
    path->last_ns = now_ns();
    path->answers++;
}

/* Takes every whole answer out of the buffer; false if it is no HTTP. */
static bool take_answers(struct observer *observer, struct connection *connection, struct path *path)
{
    for (;;) {
        connection->buffer[connection->length] = '\0';
        char *end = strstr(connection->buffer, "\r\n\r\n");
        if (!end)
            return connection->length < BUFFER_SIZE - 1;
        const char *field = strcasestr(connection->buffer, "content-length:");
        if (!field || field > end)
            return false;
        size_t body = strtoul(field + strlen("content-length:"), NULL, 10);
        size_t whole = (size_t)(end - connection->buffer) + 4 + body;
        if (whole >= BUFFER_SIZE)
            return false;
        if (connection->length < whole)
            return true;
        char kept = connection->buffer[whole];
        connection->buffer[whole] = '\0';
        take_answer(observer, connection, path, end + 4);
        connection->buffer[whole] = kept;
        memmove(connection->buffer, connection->buffer + whole, connection->length - whole);
        connection->length -= whole;
    }
}

/* false: the connection is over. */
static bool readable(struct observer *observer, struct connection *connection, struct path *path)
{
    for (;;) {
        ssize_t got = recv(connection->fd, connection->buffer + connection->length,
                           BUFFER_SIZE - 1 - connection->length, 0);
        if (got < 0 && errno == EAGAIN)
            return true;
        if (got <= 0)
            return false;
        connection->length += (size_t)got;
        if (!take_answers(observer, connection, path))
            return false;
    }
}

static void kept_lost(struct observer *observer)
{
    observer->kept_path.failures++;
    observer->reconnects++;
    close_connection(&observer->kept);
}

static void tick(struct observer *observer)
{
    if (observer->kept.fd < 0)
        (void)open_connection(observer, &observer->kept);
    else if (observer->kept.sent && send(observer->kept.fd, request, strlen(request), MSG_NOSIGNAL) < 0 &&
             errno != EAGAIN)
        kept_lost(observer);
    uint64_t now = now_ns();
    bool opened = false;
    for (size_t i = 0; i < FRESH_MAX; i++) {
        struct connection *fresh = &observer->fresh[i];
        if (fresh->fd >= 0 && now - fresh->opened_ns > FRESH_TIMEOUT_NS) {
            observer->fresh_path.failures++;
            close_connection(fresh);
        }
        if (fresh->fd < 0 && !opened)
            opened = open_connection(observer, fresh) == 0;
    }
}

static void serve(struct observer *observer, struct connection *connection, short events)
{
    bool is_kept = connection == &observer->kept;
    if ((events & POLLOUT) && !connection->sent) {
        const char *text = is_kept ? request : last_request;
        connection->sent = send(connection->fd, text, strlen(text), MSG_NOSIGNAL) > 0;
    }
    bool alive = !(events & (POLLERR | POLLHUP | POLLIN)) ||
                 readable(observer, connection, is_kept ? &observer->kept_path : &observer->fresh_path);
    if (!is_kept && connection->newest) {
        close_connection(connection);
    } else if (!alive && is_kept) {
        kept_lost(observer);
    } else if (!alive) {
        observer->fresh_path.failures++;
        close_connection(connection);
    }
}

static void report(struct observer *observer)
{
    note_gap(&observer->kept_path);
    note_gap(&observer->fresh_path);
    printf("{\"answers_kept\":%llu,\"answers_new\":%llu,\"gap_kept_ms\":%.1f,\"gap_new_ms\":%.1f,\"failures_"
           "new\":%llu,"
           "\"reconnects\":%llu,\"regressions\":%llu,\"reboots\":%llu,\"count\":%llu}\n",
           (unsigned long long)observer->kept_path.answers, (unsigned long long)observer->fresh_path.answers,
           (double)observer->kept_path.gap_ns / 1e6, (double)observer->fresh_path.gap_ns / 1e6,
           (unsigned long long)observer->fresh_path.failures, (unsigned long long)observer->reconnects,
           (unsigned long long)observer->regressions, (unsigned long long)observer->reboots,
           (unsigned long long)observer->highest);
    (void)fflush(stdout);
    observer->kept_path.gap_ns = observer->fresh_path.gap_ns = 0;
}

static int open_signals(void)
{
    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGUSR1);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGINT);
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
    return signalfd(-1, &set, SFD_CLOEXEC);
}

/* One wait; false at the end of the observation. */
static bool observe(struct observer *observer, int timer, int signals)
{
    struct pollfd polled[FRESH_MAX + 3] = {{.fd = timer, .events = POLLIN},
                                           {.fd = signals, .events = POLLIN}};
    struct connection *owners[FRESH_MAX + 3] = {0};
    nfds_t count = 2;
    for (size_t i = 0; i <= FRESH_MAX; i++) {
        struct connection *connection = i ? &observer->fresh[i - 1] : &observer->kept;
        if (connection->fd < 0)
            continue;
        owners[count] = connection;
        polled[count++] =
            (struct pollfd){.fd = connection->fd, .events = connection->sent ? POLLIN : POLLIN | POLLOUT};
    }
    if (poll(polled, count, -1) < 0)
        return errno == EINTR;
    for (nfds_t i = 2; i < count; i++)
        if (polled[i].revents && owners[i]->fd == polled[i].fd)
            serve(observer, owners[i], polled[i].revents);
    uint64_t expired;
    if ((polled[0].revents & POLLIN) && read(timer, &expired, sizeof expired) == sizeof expired)
        tick(observer);
    struct signalfd_siginfo info;
    if ((polled[1].revents & POLLIN) && read(signals, &info, sizeof info) == sizeof info) {
        report(observer);
        return info.ssi_signo == SIGUSR1;
    }
    return true;
}

int main(int argc, char **argv)
{
    static struct observer observer = {.kept.fd = -1};
    for (size_t i = 0; i < FRESH_MAX; i++)
        observer.fresh[i].fd = -1;
    observer.server.sin_family = AF_INET;
    if (argc != 3 || inet_pton(AF_INET, argv[1], &observer.server.sin_addr) != 1) {
        fputs("usage: observer ADDRESS PORT\n", stderr);
        return 2;
    }
    observer.server.sin_port = htons((uint16_t)atoi(argv[2]));
    int signals = open_signals();
    int timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    struct itimerspec every = {.it_interval.tv_nsec = TICK_NS, .it_value.tv_nsec = TICK_NS};
    if (signals < 0 || timer < 0 || timerfd_settime(timer, 0, &every, NULL) < 0) {
        perror("observer");
        return 1;
    }
    report(&observer); /* signals are taken from here on */
    while (observe(&observer, timer, signals))
        continue;
    return observer.regressions || observer.reboots ? 1 : 0;
}
