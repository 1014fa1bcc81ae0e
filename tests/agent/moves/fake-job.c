/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A FAKE godwit-job for tests of the agent: it stops the guest and copies its memory in the clear, through
 * the real door, and it dies, lies or hangs where the file "fault" beside the program says so ("source
 * after-give"). The COMMIT that it saw last it keeps in the file "commit".
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
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

/* A file beside the program. */
static FILE *open_beside(const char *name, const char *mode)
{
    char path[512];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 16);
    must((int)n, "own path");
    path[n] = '\0';
    (void)strcpy(strrchr(path, '/') + 1, name);
    return fopen(path, mode);
}

static void read_fault(void)
{
    auto_file file = open_beside("fault", "r");
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

/* ---- lies ---- */

static uint8_t rubbish[CTL_SECRET_SIZE];

/* Whatever the agent says to it, the liar goes on. */
static void hear(void)
{
    struct err err;
    int fds[1];
    size_t n_fds = 1;
    if (ctl_recv(control, &msg, fds, &n_fds, &err) < 0)
        exit(1);
    if (n_fds)
        (void)close(fds[0]);
}

static void ask_anyway(uint32_t type, const void *body, size_t size)
{
    ctl_fill(&msg, type, ++serial, body, size);
    if (ctl_send(control, &msg, NULL, 0, NULL) < 0)
        exit(1);
    hear();
}

static void bring_verdict(uint32_t kind, const uint8_t secret[CTL_SECRET_SIZE])
{
    struct ctl_verdict verdict = {.kind = kind};
    memcpy(verdict.secret, secret, sizeof verdict.secret);
    ask_anyway(CTL_QUIT, &verdict, sizeof verdict);
}

static void two_at_once(uint32_t first, uint32_t second)
{
    ctl_fill(&msg, first, ++serial, NULL, 0);
    (void)ctl_send(control, &msg, NULL, 0, NULL);
    ctl_fill(&msg, second, ++serial, NULL, 0);
    (void)ctl_send(control, &msg, NULL, 0, NULL);
}

/* Reports as fast as they are taken, which look as if all went well, until the agent ends it. */
static void flood(void)
{
    struct ctl_progress now = {.step = CTL_STEP_COPY};
    struct ctl_round round = {.pages = 1};
    struct pollfd agent = {.fd = control, .events = POLLIN};
    while (poll(&agent, 1, 0) == 0) {
        now.bytes_on_wire++;
        now.throttle_bytes_s = now.bytes_on_wire % 2 * 1000000;
        now.is_down = now.bytes_on_wire % 2;
        now.resumes = (uint32_t)now.bytes_on_wire;
        round.n++;
        report(CTL_PROGRESS, &now, sizeof now);
        report(CTL_ROUND, &round, sizeof round);
    }
    exit(1);
}

static void say_it_is_done(void)
{
    struct ctl_result result = {.ok = 1, .verified = 1, .copy_ns = 1, .downtime_ns = 1};
    report(CTL_RESULT, &result, sizeof result);
}

/* Requests of its own role in an order that a number stands for. */
static void ask_in_any_order(unsigned seed, const uint8_t *known)
{
    static const uint32_t of_source[] = {CTL_STOP, CTL_SAVE, CTL_GIVE, CTL_QUIT, CTL_DISKS, CTL_DISK};
    static const uint32_t of_destination[] = {CTL_LOAD, CTL_READY, CTL_CONT, CTL_DISK};
    bool is_source = !strcmp(role, "source");
    for (unsigned i = 0; i < 12; i++) {
        seed = seed * 1103515245u + 12345u;
        unsigned chosen = seed >> 16;
        uint32_t type = is_source ? of_source[chosen % 6] : of_destination[chosen % 4];
        const uint8_t *secret = chosen & 64 ? known : rubbish;
        if (type == CTL_QUIT)
            bring_verdict(1 + chosen / 128 % 3, secret);
        else
            ask_anyway(type, secret,
                       type == CTL_GIVE || type == CTL_CONT ? CTL_SECRET_SIZE
                       : type == CTL_DISK                   ? sizeof(uint32_t)
                                                            : 0);
    }
}

static void keep_commit(const uint8_t commit[CTL_SECRET_SIZE])
{
    auto_file file = open_beside("commit", "w");
    if (!file || fwrite(commit, CTL_SECRET_SIZE, 1, file) != 1)
        give_up("keep COMMIT");
}

static void say_the_old_commit(void)
{
    uint8_t commit[CTL_SECRET_SIZE];
    auto_file file = open_beside("commit", "r");
    if (!file || fread(commit, sizeof commit, 1, file) != 1)
        give_up("no COMMIT was kept");
    ask_anyway(CTL_CONT, commit, sizeof commit);
}

/* Tracks the guest's writes, and releases none. */
static void hold_the_guest(const struct ctl_job_spec *spec, const int *fds)
{
    struct uffdio_register all = {.range = {spec->ram_address, spec->ram_size},
                                  .mode = UFFDIO_REGISTER_MODE_WP};
    struct uffdio_writeprotect protect = {.range = all.range, .mode = UFFDIO_WRITEPROTECT_MODE_WP};
    struct uffdio_api api = {.api = UFFD_API,
                             .features = UFFD_FEATURE_PAGEFAULT_FLAG_WP | UFFD_FEATURE_WP_HUGETLBFS_SHMEM};
    must(ioctl(fds[CTL_FD_UFFD_SYNC], UFFDIO_API, &api), "userfaultfd");
    must(ioctl(fds[CTL_FD_UFFD_SYNC], UFFDIO_REGISTER, &all), "register");
    must(ioctl(fds[CTL_FD_UFFD_SYNC], UFFDIO_WRITEPROTECT, &protect), "protect");
}

/* Lies before anything that is true. */
static void lie_first(const struct ctl_job_spec *spec, const int *fds)
{
    const char *lie = strchr(fault, ' ');
    unsigned seed;
    if (!lie || strncmp(fault, role, strlen(role)) != 0 || strncmp(lie, " lie-", 5) != 0)
        return;
    memset(rubbish, 0xa5, sizeof rubbish);
    if (is_fault("lie-give"))
        ask_anyway(CTL_GIVE, rubbish, sizeof rubbish);
    else if (is_fault("lie-running"))
        bring_verdict(CTL_VERDICT_RUNNING, rubbish);
    else if (is_fault("lie-no-verdict"))
        bring_verdict(CTL_VERDICT_NONE, rubbish);
    else if (is_fault("lie-other-verdict"))
        bring_verdict(CTL_VERDICT_RETURNED + 1, rubbish);
    else if (is_fault("lie-ready"))
        ask_anyway(CTL_READY, NULL, 0);
    else if (is_fault("lie-commit"))
        ask_anyway(CTL_CONT, rubbish, sizeof rubbish);
    else if (is_fault("lie-old-commit"))
        say_the_old_commit();
    else if (is_fault("lie-ticket-as-commit"))
        ask_anyway(CTL_CONT, spec->ticket, sizeof spec->ticket);
    else if (is_fault("lie-key-as-ready"))
        ask_anyway(CTL_GIVE, spec->key, sizeof spec->key);
    else if (is_fault("lie-done"))
        say_it_is_done();
    else if (is_fault("lie-two-at-once"))
        two_at_once(spec->role == CTL_ROLE_SOURCE ? CTL_STOP : CTL_LOAD,
                    spec->role == CTL_ROLE_SOURCE ? CTL_SAVE : CTL_READY);
    else if (is_fault("lie-other-role"))
        ask_anyway(spec->role == CTL_ROLE_SOURCE ? CTL_READY : CTL_STOP, NULL, 0);
    else if (is_fault("lie-flood"))
        flood();
    else if (is_fault("lie-hold"))
        hold_the_guest(spec, fds);
    else if (sscanf(lie, " lie-order-%u", &seed) == 1)
        ask_in_any_order(seed, seed % 2 ? spec->ticket : spec->key);
    else
        return; /* one that comes later */
    if (is_fault("lie-done"))
        exit(0);
    for (;;)
        hear();
}

/* Of a source whose guest stands already. */
static void lie_when_stopped(void)
{
    if (is_fault("lie-stop-twice"))
        ask_anyway(CTL_STOP, NULL, 0);
    else if (is_fault("lie-stop-and-flood"))
        flood();
}

/* Of a source that knows READY and COMMIT: neither ends the guest here. */
static void lie_when_given(const uint8_t ready[CTL_SECRET_SIZE], const uint8_t commit[CTL_SECRET_SIZE])
{
    if (is_fault("lie-give-again"))
        ask_anyway(CTL_GIVE, ready, CTL_SECRET_SIZE);
    else if (is_fault("lie-commit-as-running"))
        bring_verdict(CTL_VERDICT_RUNNING, commit);
    else if (is_fault("lie-ready-as-running"))
        bring_verdict(CTL_VERDICT_RUNNING, ready);
    else if (is_fault("lie-ready-as-returned"))
        bring_verdict(CTL_VERDICT_RETURNED, ready);
    else if (is_fault("lie-done-when-given"))
        say_it_is_done();
    else
        return;
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
    uint8_t secret[CTL_SECRET_SIZE], ready[CTL_SECRET_SIZE];
    struct ctl_verdict verdict;
    int stream;
    int fd = dial(spec);
    progress(CTL_STEP_COPY);
    struct ctl_round round = {.n = 0, .pages = 1};
    report(CTL_ROUND, &round, sizeof round);
    lie_first(spec, fds);
    point("copying");
    if (is_fault("crawl"))
        crawl();
    if (is_fault("save-first"))
        ask(CTL_SAVE, NULL, 0, &stream);
    ask(CTL_STOP, NULL, 0, NULL);
    point("after-stop");
    lie_when_stopped();
    send_ram(fd, fds[CTL_FD_RAM], spec->ram_size);
    ask(CTL_SAVE, NULL, 0, &stream);
    if (is_fault("lie-save-twice"))
        ask_anyway(CTL_SAVE, NULL, 0);
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
    memcpy(ready, secret, sizeof ready);
    ask(CTL_GIVE, secret, sizeof secret, NULL);
    memcpy(secret, msg.body, sizeof secret);
    lie_when_given(ready, secret);
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
    lie_first(spec, fds);
    must(ctl_recv(fds[CTL_FD_DOOR], &handed, &fd, &n_fds, &err), "nobody came");
    must(fcntl(fd, F_SETFL, 0), "blocking");
    progress(CTL_STEP_COPY);
    receive_ram(fd, fds[CTL_FD_RAM], spec->ram_size);
    point("received");
    uint64_t size;
    must(fdio_read(fd, &size, sizeof size, NULL), "size of state");
    ask(CTL_LOAD, NULL, 0, &stream);
    if (is_fault("lie-rubbish")) {
        memset(state, 0xa5, sizeof state);
        (void)fdio_write(stream, state, sizeof state, NULL);
        (void)close(stream);
        hear();
        ask_anyway(CTL_READY, NULL, 0);
        exit(1);
    }
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
    if (is_fault("lie-ready-as-commit"))
        ask_anyway(CTL_CONT, secret, sizeof secret);
    must(fdio_write(fd, secret, sizeof secret, NULL), "READY");
    if (is_fault("forge-commit")) {
        memset(secret, 2, sizeof secret);
        ask(CTL_CONT, secret, sizeof secret, NULL);
    }
    must(fdio_read(fd, secret, sizeof secret, NULL), "COMMIT");
    keep_commit(secret);
    point("before-cont");
    ask(CTL_CONT, secret, sizeof secret, NULL);
    point("after-cont");
    if (is_fault("lie-aborted"))
        ((struct ctl_verdict *)(void *)msg.body)->kind = CTL_VERDICT_ABORTED;
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
