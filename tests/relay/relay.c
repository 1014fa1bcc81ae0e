/* SPDX-License-Identifier: Apache-2.0 */
#include "relay.h"

#include <assert.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/thread.h"

#define WAYS_MAX 64
#define PIECE_MAX (64u << 10)

/* What comes out of `from` goes into `into`. */
struct way {
    int from, into; /* -1: ended */
    struct relay_piece piece;
};

struct relay {
    struct thread thread;
    int listener, stop;
    uint16_t port, target;
    relay_watcher watcher;
    void *user;
    unsigned n_ways; /* two for each connection */
    struct way ways[WAYS_MAX];
    uint8_t buffer[PIECE_MAX];
};

static int must(int result)
{
    if (result < 0)
        abort();
    return result;
}

static void take_connection(struct relay *relay)
{
    struct sockaddr_in target = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(relay->target)};
    int here = must(accept4(relay->listener, NULL, NULL, SOCK_CLOEXEC));
    int there = must(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    (void)must(connect(there, (struct sockaddr *)&target, sizeof target));
    assert(relay->n_ways + 2 <= WAYS_MAX);
    struct way *ways = &relay->ways[relay->n_ways];
    unsigned number = relay->n_ways / 2;
    ways[0] = (struct way){here, there, {.connection = number, .from_source = true}};
    ways[1] = (struct way){there, here, {.connection = number}};
    relay->n_ways += 2;
}

static void end_connection(struct relay *relay, struct way *way)
{
    struct way *pair = &relay->ways[(way - relay->ways) & ~1];
    (void)close(pair[0].from);
    (void)close(pair[1].from);
    pair[0].from = pair[0].into = pair[1].from = pair[1].into = -1;
}

static void pass_on(struct relay *relay, struct way *way)
{
    struct way *back = &relay->ways[(way - relay->ways) ^ 1];
    ssize_t got = recv(way->from, relay->buffer, sizeof relay->buffer, 0);
    if (got <= 0) {
        /* Half a connection may go on; one that was reset does not. */
        (void)shutdown(way->into, SHUT_WR);
        way->into = -1;
        if (got < 0 || back->into < 0)
            end_connection(relay, way);
        return;
    }
    way->piece.bytes = relay->buffer;
    way->piece.size = (size_t)got;
    bool goes_on = relay->watcher(&way->piece, relay->user);
    for (size_t done = 0; done < way->piece.size;) {
        ssize_t put = send(way->into, relay->buffer + done, way->piece.size - done, MSG_NOSIGNAL);
        if (put < 0) {
            goes_on = false;
            break;
        }
        done += (size_t)put;
    }
    way->piece.offset += (size_t)got;
    if (!goes_on)
        end_connection(relay, way);
}

static void *run(void *argument)
{
    struct relay *relay = argument;
    for (;;) {
        struct pollfd fds[2 + WAYS_MAX] = {{.fd = relay->stop, .events = POLLIN},
                                           {.fd = relay->listener, .events = POLLIN}};
        unsigned n_ways = relay->n_ways;
        for (unsigned i = 0; i < n_ways; i++)
            fds[2 + i] =
                (struct pollfd){.fd = relay->ways[i].into < 0 ? -1 : relay->ways[i].from, .events = POLLIN};
        (void)must(poll(fds, 2 + n_ways, -1));
        if (fds[0].revents)
            return NULL;
        for (unsigned i = 0; i < n_ways; i++)
            if (fds[2 + i].revents && relay->ways[i].into >= 0)
                pass_on(relay, &relay->ways[i]);
        if (fds[1].revents)
            take_connection(relay);
    }
}

struct relay *relay_start(uint16_t target_port, relay_watcher watcher, void *user)
{
    struct relay *relay = calloc(1, sizeof *relay);
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof any;
    if (!relay)
        abort();
    relay->target = target_port;
    relay->watcher = watcher;
    relay->user = user;
    relay->stop = must(eventfd(0, EFD_CLOEXEC));
    relay->listener = must(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    (void)must(bind(relay->listener, (struct sockaddr *)&any, sizeof any));
    (void)must(listen(relay->listener, WAYS_MAX));
    (void)must(getsockname(relay->listener, (struct sockaddr *)&any, &size));
    relay->port = ntohs(any.sin_port);
    (void)must(thread_start(&relay->thread, "relay", run, relay, NULL));
    return relay;
}

uint16_t relay_port(const struct relay *relay)
{
    return relay->port;
}

void relay_end(struct relay *relay)
{
    if (!relay)
        return;
    (void)eventfd_write(relay->stop, 1);
    thread_join(&relay->thread);
    for (unsigned i = 0; i < relay->n_ways; i += 2)
        if (relay->ways[i].from >= 0)
            end_connection(relay, &relay->ways[i]);
    (void)close(relay->listener);
    (void)close(relay->stop);
    free(relay);
}

bool relay_finds(const struct relay_piece *piece, const uint8_t *needle, size_t needle_size, uint8_t *tail)
{
    size_t kept = needle_size - 1;
    size_t edge = piece->size < kept ? piece->size : kept;
    uint8_t *seam = malloc(kept + edge);
    if (!seam)
        abort();
    memcpy(seam, tail, kept);
    memcpy(seam + kept, piece->bytes, edge);
    bool found = memmem(seam, kept + edge, needle, needle_size) ||
                 memmem(piece->bytes, piece->size, needle, needle_size);
    if (piece->size >= kept)
        memcpy(tail, piece->bytes + piece->size - kept, kept);
    else
        memmove(tail, seam + edge, kept);
    free(seam);
    return found;
}
