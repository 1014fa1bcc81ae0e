/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A FAKE godwit-job for tests of the agent: it stops the guest and copies its memory in the clear, through
 * the real door, and it dies, lies or hangs where the file "fault" beside the program says so ("source
 * after-give").
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fdio.h"
#include "ctl/ctl.h"
#include "wire/preamble.h"

#define BLOCK 65536u
#define STATE_MAX (64u << 20)

struct extent {
    uint64_t offset;
    uint64_t length; /* 0: the end */
};

static int control;
static const char *role;
static char fault[64];
static struct ctl_msg msg;
static uint32_t serial;

static void give_up(const char *what)
{
    (void)fprintf(stderr, "fake job (%s): %s: %s\n", role, what, strerror(errno));
    exit(1);
}

static void must(int result, const char *what)
{
    if (result < 0)
        give_up(what);
}

static int is_fault(const char *name)
{
    char here[128];
    (void)snprintf(here, sizeof here, "%s %s", role, name);
    return !strcmp(here, fault);
}

static void point(const char *name)
{
    char hang[96];
    (void)snprintf(hang, sizeof hang, "hang-%s", name);
    if (is_fault(name))
        (void)raise(SIGKILL);
    while (is_fault(hang)) { /* deaf to all but the agent's death */
        struct pollfd agent = {.fd = control};
        (void)poll(&agent, 1, -1);
        if (agent.revents & POLLHUP)
            exit(1);
    }
}

static void read_fault(void)
{
    char path[512];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 16);
    must((int)n, "own path");
    path[n] = '\0';
    (void)strcpy(strrchr(path, '/'), "/fault");
    auto_file file = fopen(path, "r");
    if (file && fgets(fault, sizeof fault, file))
        fault[strcspn(fault, "\n")] = '\0';
}

static void take_answer(int *ret_fd)
{
    struct err err;
    int fds[1];
    size_t n_fds = 1;
    must(ctl_recv(control, &msg, fds, &n_fds, &err), "no answer");
    if (msg.type != CTL_DONE) {
        if (msg.type == CTL_FAILED || msg.type == CTL_CANCEL) {
            struct err why = {0};
            (void)ctl_body(&msg, &why, sizeof why, NULL);
            (void)fprintf(stderr, "fake job (%s): told: %s\n", role, why.message);
        }
        exit(1);
    }
    if (ret_fd)
        *ret_fd = n_fds ? fds[0] : -1;
}

static void ask(uint32_t type, const void *body, size_t size, int *ret_fd)
{
    struct err err;
    ctl_fill(&msg, type, ++serial, body, size);
    must(ctl_send(control, &msg, NULL, 0, &err), "ask");
    take_answer(ret_fd);
}

static void report(uint32_t type, const void *body, size_t size)
{
    struct err err;
    ctl_fill(&msg, type, 0, body, size);
    must(ctl_send(control, &msg, NULL, 0, &err), "report");
}

static void progress(enum ctl_step step)
{
    struct ctl_progress now = {.step = step};
    report(CTL_PROGRESS, &now, sizeof now);
}

/* Advances by a byte at a time until the agent ends it. */
static void crawl(void)
{
    struct ctl_progress now = {.step = CTL_STEP_COPY};
    struct pollfd agent = {.fd = control, .events = POLLIN};
    while (poll(&agent, 1, 20) == 0) {
        now.bytes_on_wire++;
        report(CTL_PROGRESS, &now, sizeof now);
    }
    exit(1);
}

static void succeed(void)
{
    struct ctl_result result = {.ok = 1, .dirty = CTL_DIRTY_ASYNC, .copy_ns = 2, .downtime_ns = 1};
    report(CTL_RESULT, &result, sizeof result);
    exit(0);
}

static int dial(const struct ctl_job_spec *spec)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)spec->port)};
    struct wire_preamble preamble = {.role = WIRE_ROLE_CONTROL};
    uint8_t bytes[WIRE_PREAMBLE_SIZE];
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    (void)inet_pton(AF_INET, spec->addresses[0], &address.sin_addr);
    must(fd, "socket");
    must(connect(fd, (struct sockaddr *)&address, sizeof address), "connect");
    memcpy(preamble.ticket, spec->ticket, sizeof preamble.ticket);
    wire_preamble_encode(&preamble, bytes);
    must(fdio_write(fd, bytes, sizeof bytes, NULL), "preamble");
    return fd;
}

static void send_ram(int fd, int ram, uint64_t size)
{
    static uint8_t block[BLOCK];
    struct extent extent = {0};
    for (off_t at = 0; (at = lseek(ram, at, SEEK_DATA)) >= 0 && (uint64_t)at < size;) {
        off_t hole = lseek(ram, at, SEEK_HOLE);
        extent = (struct extent){(uint64_t)at, (uint64_t)(hole - at)};
        must(fdio_write(fd, &extent, sizeof extent, NULL), "extent");
        for (; at < hole; at += BLOCK) {
            size_t part = (size_t)(hole - at) < BLOCK ? (size_t)(hole - at) : BLOCK;
            must(fdio_pread(ram, block, part, (uint64_t)at, NULL), "read memory");
            must(fdio_write(fd, block, part, NULL), "send memory");
        }
        at = hole;
    }
    extent = (struct extent){0, 0};
    must(fdio_write(fd, &extent, sizeof extent, NULL), "end of memory");
}

static void receive_ram(int fd, int ram, uint64_t size)
{
    static uint8_t block[BLOCK];
    struct extent extent;
    for (;;) {
        must(fdio_read(fd, &extent, sizeof extent, NULL), "extent");
        if (!extent.length)
            return;
        must(extent.offset + extent.length > size ? -1 : 0, "extent out of memory");
        for (uint64_t at = 0; at < extent.length; at += BLOCK) {
            size_t part = extent.length - at < BLOCK ? (size_t)(extent.length - at) : BLOCK;
            must(fdio_read(fd, block, part, NULL), "receive memory");
            must(fdio_pwrite(ram, block, part, extent.offset + at, NULL), "write memory");
        }
    }
}

static void source(const struct ctl_job_spec *spec, const int *fds)
{
    uint8_t secret[CTL_SECRET_SIZE];
    struct ctl_verdict verdict;
    int stream;
    int fd = dial(spec);
    progress(CTL_STEP_COPY);
    struct ctl_round round = {.n = 0, .pages = 1};
    report(CTL_ROUND, &round, sizeof round);
    point("copying");
    if (is_fault("crawl"))
        crawl();
    if (is_fault("save-first"))
        ask(CTL_SAVE, NULL, 0, &stream);
    ask(CTL_STOP, NULL, 0, NULL);
    point("after-stop");
    send_ram(fd, fds[CTL_FD_RAM], spec->ram_size);
    ask(CTL_SAVE, NULL, 0, &stream);
    point("in-save");
    auto_mem uint8_t *state = malloc(STATE_MAX);
    uint64_t size = 0;
    for (ssize_t n; (n = read(stream, state + size, STATE_MAX - size)) > 0;)
        size += (uint64_t)n;
    take_answer(NULL);
    must(fdio_write(fd, &size, sizeof size, NULL), "size of state");
    must(fdio_write(fd, state, size, NULL), "state");
    must(fdio_read(fd, secret, sizeof secret, NULL), "READY");
    point("before-give");
    if (is_fault("forge-ready"))
        memset(secret, 1, sizeof secret);
    ask(CTL_GIVE, secret, sizeof secret, NULL);
    memcpy(secret, msg.body, sizeof secret);
    point("after-give");
    must(fdio_write(fd, secret, sizeof secret, NULL), "COMMIT");
    must(fdio_read(fd, &verdict, sizeof verdict, NULL), "verdict");
    point("before-quit");
    if (is_fault("forge-aborted")) {
        verdict.kind = 2;
        memset(verdict.secret, 3, sizeof verdict.secret);
    }
    ask(CTL_QUIT, &verdict, sizeof verdict, NULL);
    succeed();
}

static void destination(const struct ctl_job_spec *spec, const int *fds)
{
    static uint8_t state[BLOCK];
    uint8_t secret[CTL_SECRET_SIZE];
    struct ctl_msg handed;
    struct err err;
    int fd = -1;
    int stream;
    size_t n_fds = 1;
    point("waiting");
    must(ctl_recv(fds[CTL_FD_DOOR], &handed, &fd, &n_fds, &err), "nobody came");
    must(fcntl(fd, F_SETFL, 0), "blocking");
    progress(CTL_STEP_COPY);
    receive_ram(fd, fds[CTL_FD_RAM], spec->ram_size);
    point("received");
    uint64_t size;
    must(fdio_read(fd, &size, sizeof size, NULL), "size of state");
    ask(CTL_LOAD, NULL, 0, &stream);
    while (size) {
        size_t part = size < sizeof state ? (size_t)size : sizeof state;
        must(fdio_read(fd, state, part, NULL), "state");
        must(fdio_write(stream, state, part, NULL), "load");
        size -= part;
    }
    (void)close(stream);
    take_answer(NULL);
    ask(CTL_READY, NULL, 0, NULL);
    memcpy(secret, msg.body, sizeof secret);
    point("before-ready");
    must(fdio_write(fd, secret, sizeof secret, NULL), "READY");
    if (is_fault("forge-commit")) {
        memset(secret, 2, sizeof secret);
        ask(CTL_CONT, secret, sizeof secret, NULL);
    }
    must(fdio_read(fd, secret, sizeof secret, NULL), "COMMIT");
    point("before-cont");
    ask(CTL_CONT, secret, sizeof secret, NULL);
    point("after-cont");
    must(fdio_write(fd, msg.body, sizeof(struct ctl_verdict), NULL), "verdict");
    succeed();
}

int main(int argc, char **argv)
{
    struct ctl_job_spec spec;
    struct err err;
    int fds[CTL_FDS_MAX];
    size_t n_fds = CTL_FDS_MAX;
    role = "?";
    if (argc != 5 || strcmp(argv[1], "--control") != 0)
        give_up("usage: --control FD --beat FD");
    control = atoi(argv[2]);
    must(ctl_recv(control, &msg, fds, &n_fds, &err), "no specification");
    must(ctl_body(&msg, &spec, sizeof spec, &err), "specification");
    role = spec.role == CTL_ROLE_SOURCE ? "source" : "destination";
    read_fault();
    if (spec.role == CTL_ROLE_SOURCE)
        source(&spec, fds);
    else
        destination(&spec, fds);
    return 0;
}
