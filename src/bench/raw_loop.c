/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine's own limit: memory goes from a memfd over TCP into a memfd that nobody has touched, between
 * two network namespaces, and nothing else is done with it. What a migration engine reaches is measured
 * against the best variant of this.
 *
 *   godwit-raw-loop FROM-NETNS TO-NETNS ADDRESS MIB CONNECTIONS read|map|sendfile map|write
 *
 * FROM-NETNS, TO-NETNS: paths as in /run/netns; ADDRESS: numeric IPv4 of the receiver; then how the sender
 * takes its memory and how the receiver places it. Prints {"seconds":S,"mb_s":N} (10^6 bytes). Sender and
 * receiver are processes of their own, as in a migration, with a thread a connection.
 */
#include <arpa/inet.h>
#include <err.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"

#define CONNECTIONS_MAX 16
#define MIB ((size_t)1 << 20)
#define BUFFER_BYTES MIB
#define POPULATE_BYTES (16 * MIB)

struct slice {
    int fd; /* its connection */
    int memfd;
    uint8_t *memory; /* the whole memfd; NULL unless it is mapped */
    size_t begin, end;
    bool by_file; /* sender: sendfile */
};

struct loop {
    const char *from_netns, *to_netns;
    struct sockaddr_in address;
    size_t bytes;
    size_t n_connections;
    const char *take, *place;
    struct slice slices[CONNECTIONS_MAX];
};

static void enter(const char *netns)
{
    int fd = open(netns, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || setns(fd, CLONE_NEWNET) < 0)
        err(1, "%s", netns);
    (void)close(fd);
}

static uint8_t *map(int memfd, size_t bytes)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, memfd, 0);
    if (memory == MAP_FAILED)
        err(1, "mmap");
    return memory;
}

static int make_memory(size_t bytes)
{
    int memfd = memfd_create("raw-loop", MFD_CLOEXEC);
    if (memfd < 0 || ftruncate(memfd, (off_t)bytes) < 0)
        err(1, "memfd");
    return memfd;
}

static void fill(int memfd, size_t bytes)
{
    uint64_t *words = (uint64_t *)map(memfd, bytes);
    uint64_t x = 88172645463325252u;
    for (size_t i = 0; i < bytes / sizeof *words; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        words[i] = x;
    }
    (void)munmap(words, bytes);
}

static void send_all(int fd, const uint8_t *data, size_t size)
{
    while (size) {
        ssize_t n = send(fd, data, size, MSG_NOSIGNAL);
        if (n <= 0)
            err(1, "send");
        data += n;
        size -= (size_t)n;
    }
}

static void *send_slice(void *user)
{
    struct slice *slice = user;
    uint8_t *buffer = malloc(BUFFER_BYTES);
    for (size_t at = slice->begin; at < slice->end;) {
        size_t size = slice->end - at < BUFFER_BYTES ? slice->end - at : BUFFER_BYTES;
        if (slice->by_file) {
            off_t offset = (off_t)at;
            ssize_t n = sendfile(slice->fd, slice->memfd, &offset, size);
            if (n <= 0)
                err(1, "sendfile");
            size = (size_t)n;
        } else if (slice->memory) {
            send_all(slice->fd, slice->memory + at, size);
        } else {
            if (pread(slice->memfd, buffer, size, (off_t)at) != (ssize_t)size)
                err(1, "pread");
            send_all(slice->fd, buffer, size);
        }
        at += size;
    }
    free(buffer);
    return NULL;
}

static void receive_all(int fd, uint8_t *data, size_t size)
{
    while (size) {
        ssize_t n = recv(fd, data, size, MSG_WAITALL);
        if (n <= 0)
            errx(1, "the sender ended early");
        data += n;
        size -= (size_t)n;
    }
}

static void *receive_slice(void *user)
{
    struct slice *slice = user;
    uint8_t *buffer = malloc(BUFFER_BYTES);
    size_t populated = slice->begin;
    for (size_t at = slice->begin; at < slice->end;) {
        size_t size = slice->end - at < BUFFER_BYTES ? slice->end - at : BUFFER_BYTES;
        if (slice->memory) {
            if (at == populated) {
                size_t step = slice->end - at < POPULATE_BYTES ? slice->end - at : POPULATE_BYTES;
                if (madvise(slice->memory + at, step, MADV_POPULATE_WRITE) < 0)
                    err(1, "MADV_POPULATE_WRITE");
                populated += step;
            }
            receive_all(slice->fd, slice->memory + at, size);
        } else {
            receive_all(slice->fd, buffer, size);
            if (pwrite(slice->memfd, buffer, size, (off_t)at) != (ssize_t)size)
                err(1, "pwrite");
        }
        at += size;
    }
    free(buffer);
    return NULL;
}

/* One thread a connection; each takes one piece of the memory. */
static void run_slices(struct loop *loop, int memfd, const char *how, void *(*work)(void *))
{
    pthread_t threads[CONNECTIONS_MAX];
    uint8_t *memory = strcmp(how, "map") ? NULL : map(memfd, loop->bytes);
    size_t share = loop->bytes / loop->n_connections / MIB * MIB;
    for (size_t i = 0; i < loop->n_connections; i++) {
        struct slice *slice = &loop->slices[i];
        slice->memfd = memfd;
        slice->memory = memory;
        slice->begin = i * share;
        slice->end = i + 1 == loop->n_connections ? loop->bytes : (i + 1) * share;
        slice->by_file = !strcmp(how, "sendfile");
        if (pthread_create(&threads[i], NULL, work, slice))
            errx(1, "pthread_create");
    }
    for (size_t i = 0; i < loop->n_connections; i++)
        (void)pthread_join(threads[i], NULL);
}

/* The sending process: says that it is ready by its connections, begins when the receiver writes a byte. */
static void run_sender(struct loop *loop, int begin_fd)
{
    int memfd = make_memory(loop->bytes);
    fill(memfd, loop->bytes);
    enter(loop->from_netns);
    for (size_t i = 0; i < loop->n_connections; i++) {
        int fd = loop->slices[i].fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0 || connect(fd, (struct sockaddr *)&loop->address, sizeof loop->address) < 0)
            err(1, "connect");
    }
    char byte;
    if (read(begin_fd, &byte, 1) != 1)
        errx(1, "the receiver is gone");
    run_slices(loop, memfd, loop->take, send_slice);
}

static int listen_there(struct loop *loop)
{
    enter(loop->to_netns);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    socklen_t size = sizeof loop->address;
    if (fd < 0 || bind(fd, (struct sockaddr *)&loop->address, size) < 0 || listen(fd, CONNECTIONS_MAX) < 0 ||
        getsockname(fd, (struct sockaddr *)&loop->address, &size) < 0)
        err(1, "listen");
    return fd;
}

static uint64_t run_receiver(struct loop *loop, int listener, int begin_fd)
{
    int memfd = make_memory(loop->bytes);
    for (size_t i = 0; i < loop->n_connections; i++) {
        loop->slices[i].fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        if (loop->slices[i].fd < 0)
            err(1, "accept");
    }
    uint64_t begun = clock_now_ns();
    if (write(begin_fd, "g", 1) != 1)
        err(1, "the sender is gone");
    run_slices(loop, memfd, loop->place, receive_slice);
    return clock_now_ns() - begun;
}

static void parse(struct loop *loop, char **argv)
{
    loop->from_netns = argv[1];
    loop->to_netns = argv[2];
    loop->address.sin_family = AF_INET;
    loop->bytes = strtoul(argv[4], NULL, 10) * MIB;
    loop->n_connections = strtoul(argv[5], NULL, 10);
    loop->take = argv[6];
    loop->place = argv[7];
    if (inet_pton(AF_INET, argv[3], &loop->address.sin_addr) != 1 || !loop->bytes || !loop->n_connections ||
        loop->n_connections > CONNECTIONS_MAX)
        errx(2, "an address, 1 MiB or more and 1 to %d connections are needed", CONNECTIONS_MAX);
}

int main(int argc, char **argv)
{
    if (argc != 8)
        errx(2, "usage: FROM-NETNS TO-NETNS ADDRESS MIB CONNECTIONS read|map|sendfile map|write");
    static struct loop loop;
    parse(&loop, argv);
    int listener = listen_there(&loop), begin[2];
    if (pipe2(begin, O_CLOEXEC) < 0)
        err(1, "pipe");
    pid_t sender = fork();
    if (sender < 0)
        err(1, "fork");
    if (sender == 0) {
        (void)close(begin[1]);
        run_sender(&loop, begin[0]);
        return 0;
    }
    (void)close(begin[0]);
    uint64_t ns = run_receiver(&loop, listener, begin[1]);
    int status;
    if (waitpid(sender, &status, 0) != sender || status)
        errx(1, "the sender failed");
    printf("{\"seconds\":%.6f,\"mb_s\":%.1f}\n", (double)ns / 1e9, (double)loop.bytes * 1e3 / (double)ns);
    return 0;
}
