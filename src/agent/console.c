/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Typing goes in pieces no longer than a serial port's FIFO, the next one when QEMU has read the one before:
 * so when the guest stops, all but the last piece is known to be in its serial port or not, and what is in
 * the serial port moves with the guest.
 */
#include "agent/console.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <linux/sockios.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "agent/vm_process.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"

#define FIFO_BYTES 16
#define STEP_MS 2
#define NOT_READ_MS 3000
#define IDLE_S 30
#define WAIT_STEP_MS 20
#define KEEP_SHORT_S 10
#define KEPT_SLACK (1ull << 20)

struct typing {
    char *bytes;
    size_t n, n_taken;
    void (*done)(const struct console_taken *taken, const struct err *err, void *user);
    void *user;
};

struct console {
    struct vm *vm;
    int fd;             /* -1: not connected */
    guint drain;        /* of fd */
    guint stepper;      /* while somebody types */
    guint idle;         /* then it is closed */
    GQueue typings;     /* struct typing, the first one is being typed */
    size_t n_waiting;   /* bytes of all of them */
    size_t n_in_flight; /* sent, and not known to be read */
    uint64_t since_ns;  /* when QEMU read last, or had nothing to read */
};

const char *console_outcome_name(enum console_outcome outcome)
{
    static const char *const names[] = {
        [CONSOLE_TAKEN] = "taken", [CONSOLE_STOPPED] = "stopped", [CONSOLE_NOT_READ] = "not_read"};
    return names[outcome];
}

/* ---- the log ---- */

/* A cut in the middle of a character is left for the next call. */
static size_t whole_characters(const char *text, size_t length)
{
    const char *end;
    if (g_utf8_validate_len(text, length, &end))
        return length;
    size_t valid = (size_t)(end - text);
    bool cut = length - valid < 4 && g_utf8_get_char_validated(end, (gssize)(length - valid)) == (gunichar)-2;
    return cut && valid ? valid : length;
}

static char *log_path(const struct agent *agent, const char *uuid)
{
    return g_strdup_printf("%s/vms/%s/console.log", agent->config.run_dir, uuid);
}

bool console_has_log(const struct agent *agent, const char *uuid)
{
    g_autofree char *path = log_path(agent, uuid);
    return access(path, F_OK) == 0;
}

/* -1 and no error: there is none. */
static int open_log(const struct agent *agent, const char *uuid, int flags, struct err *err)
{
    g_autofree char *path = log_path(agent, uuid);
    int fd = open(path, flags | O_CLOEXEC);
    if (fd < 0 && errno != ENOENT) {
        (void)err_sys(err, errno, "console-failed", "cannot open %s", path);
        (void)err_arg(err, "path", "%s", path);
    }
    return fd;
}

static bool is_here(struct agent *agent, const char *uuid)
{
    const struct vm *vm = vm_find(agent, uuid);
    return vm && !vm->incoming;
}

static int read_piece(int fd, uint64_t offset, struct console_piece *piece)
{
    g_autofree char *buffer = g_malloc(CONSOLE_PIECE_MAX);
    struct stat its;
    if (fstat(fd, &its) < 0)
        return -1;
    piece->size = (uint64_t)its.st_size;
    /* What was given back is a hole. */
    off_t from = offset >= piece->size ? its.st_size : lseek(fd, (off_t)offset, SEEK_DATA);
    piece->offset = from < 0 ? piece->size : (uint64_t)from;
    ssize_t got = pread(fd, buffer, CONSOLE_PIECE_MAX, (off_t)piece->offset);
    if (got < 0)
        return -1;
    size_t length = whole_characters(buffer, (size_t)got);
    /* A NUL would end the C string that becomes the JSON text. */
    for (size_t i = 0; i < length; i++)
        if (!buffer[i])
            buffer[i] = '\x7f';
    piece->next = piece->offset + length;
    piece->text = g_utf8_make_valid(buffer, (gssize)length);
    return 0;
}

int console_read(struct agent *agent, const char *uuid, uint64_t offset, struct console_piece *ret_piece,
                 struct err *err)
{
    struct err problem = {0};
    const struct vm *vm = vm_find(agent, uuid);
    auto_fd fd = open_log(agent, uuid, O_RDONLY, &problem);
    *ret_piece = (struct console_piece){.is_here = is_here(agent, uuid)};
    if (vm && vm->process)
        ret_piece->start = vm->process->console_start;
    if (err_is_set(&problem)) {
        *err = problem;
        return -1;
    }
    if (fd < 0) {
        ret_piece->text = g_strdup("");
    } else if (read_piece(fd, offset, ret_piece) < 0) {
        g_autofree char *path = log_path(agent, uuid);
        (void)err_sys(err, errno, "console-failed", "cannot read %s", path);
        return err_arg(err, "path", "%s", path);
    }
    return 0;
}

struct wait {
    struct agent *agent;
    char *uuid;
    uint64_t offset;
    uint64_t deadline_ns;
    void (*done)(struct agent *agent, const char *uuid, uint64_t offset, void *user);
    void *user;
};

static bool is_worth_reading(const struct wait *wait)
{
    struct stat its;
    g_autofree char *path = log_path(wait->agent, wait->uuid);
    bool has_more = stat(path, &its) == 0 && (uint64_t)its.st_size > wait->offset;
    return has_more || !is_here(wait->agent, wait->uuid) || clock_now_ns() >= wait->deadline_ns;
}

static gboolean look(gpointer user)
{
    struct wait *wait = user;
    if (!is_worth_reading(wait))
        return G_SOURCE_CONTINUE;
    wait->done(wait->agent, wait->uuid, wait->offset, wait->user);
    g_free(wait->uuid);
    g_free(wait);
    return G_SOURCE_REMOVE;
}

void console_wait(struct agent *agent, const char *uuid, uint64_t offset, unsigned wait_ms,
                  void (*done)(struct agent *agent, const char *uuid, uint64_t offset, void *user),
                  void *user)
{
    struct wait *wait = g_new(struct wait, 1);
    *wait = (struct wait){.agent = agent,
                          .uuid = g_strdup(uuid),
                          .offset = offset,
                          .deadline_ns = clock_now_ns() + wait_ms * NS_PER_MS,
                          .done = done,
                          .user = user};
    (void)g_timeout_add(WAIT_STEP_MS, look, wait);
}

static void shorten(const struct agent *agent, const char *uuid)
{
    struct err err = {0};
    struct stat its;
    auto_fd fd = open_log(agent, uuid, O_RDWR, &err);
    if (fd < 0 || fstat(fd, &its) < 0 || (uint64_t)its.st_size <= CONSOLE_KEPT + KEPT_SLACK ||
        (uint64_t)its.st_blocks * 512 <= CONSOLE_KEPT + KEPT_SLACK)
        return;
    if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, its.st_size - (off_t)CONSOLE_KEPT) < 0)
        log_warn("VM %s: the old part of its console's log stays: %s", uuid, strerror(errno));
}

static gboolean keep_short(gpointer user)
{
    struct agent *agent = user;
    GHashTableIter iter;
    gpointer uuid;
    g_hash_table_iter_init(&iter, agent->vms);
    while (g_hash_table_iter_next(&iter, &uuid, NULL))
        shorten(agent, uuid);
    return G_SOURCE_CONTINUE;
}

void console_keep_short(struct agent *agent)
{
    (void)g_timeout_add_seconds(KEEP_SHORT_S, keep_short, agent);
}

/* ---- typing ---- */

static void source_clear(guint *source)
{
    if (*source)
        (void)g_source_remove(*source);
    *source = 0;
}

static void disconnect(struct console *console)
{
    source_clear(&console->drain);
    if (console->fd >= 0)
        (void)close(console->fd);
    console->fd = -1;
    console->n_in_flight = 0;
}

static gboolean drain(gint fd, GIOCondition condition, gpointer user)
{
    char buffer[4096];
    struct console *console = user;
    (void)condition;
    ssize_t got = recv(fd, buffer, sizeof buffer, MSG_DONTWAIT);
    if (got > 0 || (got < 0 && (errno == EAGAIN || errno == EINTR)))
        return G_SOURCE_CONTINUE;
    console->drain = 0;
    disconnect(console);
    return G_SOURCE_REMOVE;
}

static int connect_console(struct console *console, struct err *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const struct vm *vm = console->vm;
    g_autofree char *path = vm_path(vm, "console.sock");
    g_strlcpy(address.sun_path, path, sizeof address.sun_path);
    auto_fd fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) < 0) {
        if (errno == EAGAIN)
            return 0; /* QEMU has not noticed yet that the one before is gone: at the next step */
        (void)err_set(err, ERR_REFUSED, "console-read-only",
                      "nothing can be typed into VM %s: its QEMU does not listen", vm->status.spec.name);
        (void)err_arg(err, "vm", "%s", vm->status.spec.name);
        (void)err_cause(err, "%s: %s", path, strerror(errno));
        return err_fix(err, "a VM that an older version of Godwit started takes input once it was moved, or "
                            "started anew");
    }
    console->fd = steal_fd(&fd);
    console->drain = g_unix_fd_add(console->fd, G_IO_IN | G_IO_HUP | G_IO_ERR, drain, console);
    return 0;
}

static gboolean on_idle(gpointer user)
{
    struct console *console = user;
    console->idle = 0;
    disconnect(console);
    return G_SOURCE_REMOVE;
}

static void answer(struct console *console, const struct console_taken *taken, const struct err *err)
{
    struct typing *typing = g_queue_pop_head(&console->typings);
    const struct err none = {0};
    console->n_waiting -= typing->n;
    typing->done(taken, err ? err : &none, typing->user);
    g_free(typing->bytes);
    g_free(typing);
}

static void answer_all(struct console *console, enum console_outcome outcome)
{
    size_t unsure = console->n_in_flight;
    console->n_in_flight = 0;
    while (!g_queue_is_empty(&console->typings)) {
        const struct typing *typing = g_queue_peek_head(&console->typings);
        answer(console, &(struct console_taken){outcome, typing->n_taken, unsure}, NULL);
        unsure = 0;
    }
}

/* What QEMU has not read of a piece it reads when the guest does. */
static bool is_read(struct console *console)
{
    int left = 0;
    return ioctl(console->fd, SIOCOUTQ, &left) == 0 && left == 0;
}

static void send_piece(struct console *console, struct typing *typing)
{
    size_t n = MIN(typing->n - typing->n_taken, FIFO_BYTES);
    ssize_t sent = send(console->fd, typing->bytes + typing->n_taken, n, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent > 0)
        console->n_in_flight = (size_t)sent;
    else if (errno != EAGAIN && errno != EINTR)
        disconnect(console);
}

static void take_piece(struct console *console, struct typing *typing)
{
    typing->n_taken += console->n_in_flight;
    console->n_in_flight = 0;
    console->since_ns = clock_now_ns();
    if (typing->n_taken == typing->n)
        answer(console, &(struct console_taken){CONSOLE_TAKEN, typing->n, 0}, NULL);
}

static void step(struct console *console)
{
    struct err err = {0};
    struct typing *typing = g_queue_peek_head(&console->typings);
    if (console->vm->status.state != VM_RUNNING) {
        answer_all(console, CONSOLE_STOPPED);
        disconnect(console); /* what is in flight may be read when the guest goes on, or never */
    } else if (console->fd < 0 && connect_console(console, &err) < 0) {
        answer(console, NULL, &err);
    } else if (console->fd >= 0 && console->n_in_flight && is_read(console)) {
        take_piece(console, typing);
    } else if (clock_now_ns() - console->since_ns > NOT_READ_MS * NS_PER_MS) {
        answer_all(console, CONSOLE_NOT_READ);
        disconnect(console);
    } else if (console->fd >= 0 && !console->n_in_flight) {
        send_piece(console, typing);
    }
}

static gboolean on_step(gpointer user)
{
    struct console *console = user;
    step(console);
    if (!g_queue_is_empty(&console->typings))
        return G_SOURCE_CONTINUE;
    console->stepper = 0;
    source_clear(&console->idle);
    console->idle = g_timeout_add_seconds(IDLE_S, on_idle, console);
    return G_SOURCE_REMOVE;
}

static struct console *console_of(struct vm *vm)
{
    if (!vm->process->console) {
        vm->process->console = g_new0(struct console, 1);
        vm->process->console->vm = vm;
        vm->process->console->fd = -1;
        g_queue_init(&vm->process->console->typings);
    }
    return vm->process->console;
}

static int may_type(const struct vm *vm, size_t n, struct err *err)
{
    const char *name = vm->status.spec.name;
    const struct console *console = vm->process ? vm->process->console : NULL;
    if (!vm->process) {
        (void)err_set(err, ERR_REFUSED, "vm-is-off", "VM %s is off: nobody reads what is typed", name);
        (void)err_arg(err, "vm", "%s", name);
        (void)err_arg(err, "host", "%s", vm->agent->config.name);
        return err_fix(err, "start it: godwit vm start %s", name);
    }
    if (n + (console ? console->n_waiting : 0) <= CONSOLE_INPUT_MAX)
        return 0;
    (void)err_set(err, ERR_RETRY, "console-full", "more than %d bytes wait to be typed into VM %s",
                  CONSOLE_INPUT_MAX, name);
    (void)err_arg(err, "max", "%d", CONSOLE_INPUT_MAX);
    (void)err_arg(err, "vm", "%s", name);
    return err_fix(err, "try again in a moment");
}

void console_type(struct vm *vm, const char *bytes, size_t n,
                  void (*done)(const struct console_taken *taken, const struct err *err, void *user),
                  void *user)
{
    struct err err = {0};
    if (may_type(vm, n, &err) < 0) {
        done(NULL, &err, user);
        return;
    }
    struct console *console = console_of(vm);
    struct typing *typing = g_new0(struct typing, 1);
    *typing = (struct typing){.bytes = g_memdup2(bytes, n), .n = n, .done = done, .user = user};
    g_queue_push_tail(&console->typings, typing);
    console->n_waiting += n;
    source_clear(&console->idle);
    if (console->stepper)
        return;
    console->since_ns = clock_now_ns();
    console->stepper = g_timeout_add(STEP_MS, on_step, console);
}

void console_close(struct vm *vm)
{
    struct console *console = vm->process ? vm->process->console : NULL;
    if (!console)
        return;
    vm->process->console = NULL;
    source_clear(&console->stepper);
    source_clear(&console->idle);
    answer_all(console, CONSOLE_STOPPED);
    disconnect(console);
    g_free(console);
}
