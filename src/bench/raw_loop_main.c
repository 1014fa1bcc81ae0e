/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The raw loop as a program, one side each, so that the sides can be in two network namespaces:
 *
 *   godwit-raw-loop receive ADDRESS PORT MIB CHANNELS PIECE_KIB populated|faults|pwrite
 *   godwit-raw-loop send ADDRESS PORT MIB CHANNELS PIECE_KIB pread|mapping|sendfile [REPETITIONS]
 *
 * The receiver serves one sender, with fresh memory for each repetition; the sender's memory is full of
 * random bytes. The receiver says "listening" on stdout once it does; the sender prints one line of JSON for
 * each repetition: {"bytes", "seconds", "gb_s", "cpu_s"}; seconds are from the first byte to the receiver's
 * word that the last one is placed.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "bench/raw_loop.h"

static double now_s(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static double cpu_s(void)
{
    struct rusage usage;
    (void)getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static int usage(void)
{
    (void)fprintf(
        stderr,
        "usage: godwit-raw-loop receive|send ADDRESS PORT MIB CHANNELS PIECE_KIB VARIANT [REPETITIONS]\n");
    return 2;
}

static int find_name(const char *const *names, int n_names, const char *name)
{
    for (int i = 0; i < n_names; i++)
        if (strcmp(names[i], name) == 0)
            return i;
    return -1;
}

static int make_ram(uint64_t size)
{
    int fd = memfd_create("raw-loop", MFD_CLOEXEC);
    if (fd < 0 || ftruncate(fd, (off_t)size) < 0)
        die("memfd");
    return fd;
}

static void fill(const struct raw_loop *loop)
{
    uint8_t *piece = malloc(loop->piece);
    for (uint64_t at = 0; piece && at < loop->size; at += loop->piece) {
        for (size_t done = 0; done < loop->piece;) {
            ssize_t got = getrandom(piece + done, loop->piece - done, 0);
            if (got < 0)
                die("getrandom");
            done += (size_t)got;
        }
        if (pwrite(loop->ram_fd, piece, loop->piece, (off_t)at) != (ssize_t)loop->piece)
            die("pwrite");
    }
    free(piece);
}

static void open_channels(struct raw_loop *loop, const struct sockaddr_in *address, bool is_sender)
{
    int on = 1, listener = -1;
    if (!is_sender) {
        listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        (void)setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
        if (bind(listener, (const struct sockaddr *)address, sizeof *address) < 0 ||
            listen(listener, RAW_LOOP_CHANNELS_MAX) < 0)
            die("listen");
        (void)puts("listening");
        (void)fflush(stdout);
    }
    for (unsigned i = 0; i < loop->n_channels; i++) {
        int fd = is_sender ? socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)
                           : accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0 || (is_sender && connect(fd, (const struct sockaddr *)address, sizeof *address) < 0))
            die("connect");
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        loop->channels[i] = fd;
    }
    if (listener >= 0)
        (void)close(listener);
}

static int send_all(struct raw_loop *loop, int n_repetitions)
{
    uint8_t is_last;
    loop->ram_fd = make_ram(loop->size);
    fill(loop);
    for (int i = 0; i < n_repetitions; i++) {
        is_last = i + 1 == n_repetitions;
        double begin = now_s(), cpu = cpu_s();
        if (raw_loop_send(loop) < 0)
            return 1;
        double seconds = now_s() - begin;
        (void)printf("{\"bytes\": %llu, \"seconds\": %.6f, \"gb_s\": %.3f, \"cpu_s\": %.3f}\n",
                     (unsigned long long)loop->size, seconds, (double)loop->size / seconds / 1e9,
                     cpu_s() - cpu);
        /* The receiver makes its memory fresh meanwhile. */
        if (send(loop->channels[0], &is_last, 1, 0) != 1 ||
            (!is_last && recv(loop->channels[0], &is_last, 1, 0) != 1))
            die("next repetition");
    }
    return 0;
}

static int receive_all(struct raw_loop *loop)
{
    uint8_t is_last;
    for (;;) {
        loop->ram_fd = make_ram(loop->size);
        if (raw_loop_receive(loop) < 0 || recv(loop->channels[0], &is_last, 1, 0) != 1)
            return 1;
        (void)close(loop->ram_fd);
        if (is_last)
            return 0;
        if (send(loop->channels[0], &is_last, 1, 0) != 1)
            return 1;
    }
}

int main(int n_arguments, char **arguments)
{
    if (n_arguments < 8)
        return usage();
    bool is_sender = strcmp(arguments[1], "send") == 0;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(arguments[3]))};
    struct raw_loop loop = {.size = strtoull(arguments[4], NULL, 10) << 20,
                            .n_channels = (unsigned)atoi(arguments[5]),
                            .piece = strtoull(arguments[6], NULL, 10) << 10};
    int variant = is_sender ? find_name(raw_read_names, RAW_READ_N, arguments[7])
                            : find_name(raw_place_names, RAW_PLACE_N, arguments[7]);
    if (inet_pton(AF_INET, arguments[2], &address.sin_addr) != 1 || !loop.size || !loop.n_channels ||
        loop.n_channels > RAW_LOOP_CHANNELS_MAX || !loop.piece || loop.size % loop.piece || variant < 0)
        return usage();
    loop.read = (enum raw_read)variant;
    loop.place = (enum raw_place)variant;
    open_channels(&loop, &address, is_sender);
    return is_sender ? send_all(&loop, n_arguments > 8 ? atoi(arguments[8]) : 1) : receive_all(&loop);
}
