/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The console of a guest on this terminal. One thread reads and prints, this one takes what is typed; both
 * follow the VM when it moves. What the guest does not take at once, as while it stands in a switch-over,
 * waits here and is typed again where it runs next.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <termios.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/console_reader.h"

#define ESCAPE_KEY '\x1d' /* Ctrl-] */
#define WAIT_MS 10000u
#define RETRY_MS 200
#define PENDING_MAX 4096
#define CALL_S 40
#define LOST_S 60

/* ---- the terminal ---- */
static struct termios cooked;
static atomic_bool is_raw;

static void terminal_restore(void)
{
    if (atomic_exchange(&is_raw, false))
        (void)tcsetattr(STDIN_FILENO, TCSADRAIN, &cooked);
}

static void restore_and_die(int signal_number)
{
    terminal_restore();
    (void)signal(signal_number, SIG_DFL);
    (void)raise(signal_number);
}

static int terminal_make_raw(struct err *err)
{
    static const int deadly[] = {SIGTERM, SIGHUP, SIGINT, SIGQUIT, SIGPIPE, SIGSEGV, SIGABRT};
    struct termios raw;
    if (tcgetattr(STDIN_FILENO, &cooked) < 0)
        return err_sys(err, errno, "terminal-failed", "cannot use this terminal");
    raw = cooked;
    cfmakeraw(&raw);
    for (size_t i = 0; i < G_N_ELEMENTS(deadly); i++)
        (void)signal(deadly[i], restore_and_die);
    (void)atexit(terminal_restore);
    atomic_store(&is_raw, true);
    if (tcsetattr(STDIN_FILENO, TCSADRAIN, &raw) == 0)
        return 0;
    return err_sys(err, errno, "terminal-failed", "cannot use this terminal");
}

static void notice(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void notice(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    fprintf(stderr, atomic_load(&is_raw) ? "\r\n[%s]\r\n" : "[%s]\n", text);
}

/* ---- the reading side ---- */
struct reading {
    struct console_reader reader;
    int ended; /* eventfd: it has given up, *err says why */
    struct err err;
};

static int print(const char *text, struct err *err)
{
    if (*text && (fputs(text, stdout) == EOF || fflush(stdout) == EOF))
        return err_sys(err, errno, "output-failed", "cannot write");
    return 0;
}

/* A manager or a host that is away comes back, or another one has the VM soon. */
static bool may_come_back(const struct err *err)
{
    return err->code == ERR_PEER_LOST || err->code == ERR_TIMEOUT || err->code == ERR_RETRY;
}

/* Until it fails for good. */
static int read_on(struct console_reader *reader, struct err *err)
{
    gint64 lost_us = 0;
    for (;;) {
        g_autofree char *text = NULL;
        bool has_moved;
        if (console_reader_next(reader, WAIT_MS, &text, &has_moved, err) == 0) {
            lost_us = 0;
            if (has_moved)
                notice("VM %s is on host %s now", reader->vm, reader->host);
            if (print(text, err) < 0)
                return -1;
            continue;
        }
        gint64 now_us = g_get_monotonic_time();
        if (!may_come_back(err) || (lost_us && now_us - lost_us > LOST_S * G_USEC_PER_SEC))
            return -1;
        if (!lost_us) {
            notice("%s; trying again", err->message);
            lost_us = now_us;
        }
        g_usleep(RETRY_MS * 1000);
    }
}

static void *reader_main(void *user)
{
    struct reading *reading = user;
    const uint64_t one = 1;
    (void)read_on(&reading->reader, &reading->err);
    (void)!write(reading->ended, &one, sizeof one);
    return NULL;
}

/* ---- the typing side ---- */
struct keyboard {
    struct http_client *client;
    const char *vm;
    char bytes[PENDING_MAX]; /* typed here, and not known to be with the guest */
    size_t n;
    bool is_waiting; /* the user was told that it does not take them */
};

static void drop(struct keyboard *keyboard, size_t n)
{
    memmove(keyboard->bytes, keyboard->bytes + n, keyboard->n - n);
    keyboard->n -= n;
}

/* Whole characters, as JSON needs them; what can be none is dropped. */
static size_t sendable(struct keyboard *keyboard)
{
    const char *end;
    while (keyboard->n && !g_utf8_validate_len(keyboard->bytes, keyboard->n, &end) &&
           end == keyboard->bytes) {
        if (g_utf8_get_char_validated(keyboard->bytes, (gssize)keyboard->n) == (gunichar)-2)
            return 0; /* the rest of it comes */
        drop(keyboard, 1);
    }
    (void)g_utf8_validate_len(keyboard->bytes, keyboard->n, &end);
    return (size_t)(end - keyboard->bytes);
}

/* Returns 0, or -1 with an error that trying again does not cure. */
static int send_pending(struct keyboard *keyboard, struct err *err)
{
    size_t n = sendable(keyboard);
    if (!n)
        return 0;
    g_autoptr(JsonObject) answer = NULL;
    g_autofree char *path = cli_path("/v1/vms/", keyboard->vm, "/console");
    g_autofree char *text = g_strndup(keyboard->bytes, n);
    JsonObject *body = json_object_new();
    json_object_set_string_member(body, "text", text);
    if (http_client_call_sync(keyboard->client, &(struct http_call){"POST", path, body, CALL_S}, &answer,
                              err))
        /* Right after a handover the old host has it no more. */
        return may_come_back(err) || !strcmp(err->id, "vm-not-found") ? 0 : -1;
    gint64 unsure = cli_number(answer, "unsure");
    drop(keyboard, MIN((size_t)(cli_number(answer, "taken") + unsure), keyboard->n));
    if (unsure)
        notice("the guest stood still: the last %d bytes that were typed may be lost", (int)unsure);
    const char *outcome = cli_string(answer, "outcome");
    if (strcmp(outcome, "taken") != 0 && !keyboard->is_waiting)
        notice(strcmp(outcome, "stopped") != 0 ? "the guest does not read; what is typed waits"
                                               : "the guest stands still; what is typed waits");
    keyboard->is_waiting = strcmp(outcome, "taken") != 0;
    return 0;
}

/* False: the escape key, or the end of the input. */
static bool take_keys(struct keyboard *keyboard)
{
    char keys[PENDING_MAX];
    ssize_t n = read(STDIN_FILENO, keys, sizeof keys);
    if (n <= 0)
        return n < 0 && errno == EINTR;
    const char *escape = memchr(keys, ESCAPE_KEY, (size_t)n);
    size_t wanted = escape ? (size_t)(escape - keys) : (size_t)n;
    size_t taken = MIN(wanted, sizeof keyboard->bytes - keyboard->n);
    for (size_t i = 0; i < taken; i++)
        if (keys[i]) /* JSON's text has no place for it */
            keyboard->bytes[keyboard->n++] = keys[i];
    if (taken < wanted)
        notice("%zu bytes were not taken: the guest does not read so fast", wanted - taken);
    return !escape;
}

/* Until the user leaves (0), or one of the sides fails. */
static int type_on(struct keyboard *keyboard, struct reading *reading, struct err *err)
{
    for (;;) {
        struct pollfd polls[] = {{.fd = STDIN_FILENO, .events = POLLIN},
                                 {.fd = reading->ended, .events = POLLIN}};
        if (poll(polls, 2, keyboard->n ? RETRY_MS : -1) < 0 && errno != EINTR)
            return err_sys(err, errno, "poll-failed", "cannot wait for keys");
        if (polls[1].revents) {
            *err = reading->err;
            return -1;
        }
        if (polls[0].revents && !take_keys(keyboard))
            return 0;
        struct err problem = {0};
        if (send_pending(keyboard, &problem) < 0) {
            notice("%s", problem.message);
            keyboard->n = 0;
        }
    }
}

static int attach(struct cli *cli, const char *name)
{
    struct keyboard keyboard = {.vm = name};
    struct reading *reading = g_new0(struct reading, 1); /* the thread may outlive this function */
    struct http_client *client = NULL;
    pthread_t thread;
    struct err err = {0};
    if (cli_connect(&client, &err) < 0 || cli_connect(&keyboard.client, &err) < 0)
        return cli_fail(cli, &err);
    console_reader_init(&reading->reader, client, name);
    reading->ended = eventfd(0, EFD_CLOEXEC);
    if (console_reader_tail(&reading->reader, &err) < 0)
        return cli_fail(cli, &err);
    fprintf(stderr, "Console of VM %s on host %s. Leave it with Ctrl-].\n", name, reading->reader.host);
    if (terminal_make_raw(&err) < 0)
        return cli_fail(cli, &err);
    int failed = pthread_create(&thread, NULL, reader_main, reading);
    if (failed) {
        terminal_restore();
        (void)err_sys(&err, failed, "thread-failed", "cannot start a thread");
        return cli_fail(cli, &err);
    }
    int result = type_on(&keyboard, reading, &err);
    terminal_restore();
    fputs("\n", stderr);
    return result < 0 ? cli_fail(cli, &err) : CLI_DONE;
}

/* ---- without a terminal ---- */

static int type_text(struct cli *cli, const char *name, const char *text)
{
    gint64 until_us = g_get_monotonic_time() + LOST_S * G_USEC_PER_SEC;
    struct keyboard keyboard = {.vm = name};
    struct err err = {0};
    size_t n = strlen(text);
    if (n + 1 > sizeof keyboard.bytes || !g_utf8_validate(text, -1, NULL))
        return cli_usage_error("--type takes at most %d bytes of UTF-8", PENDING_MAX - 1);
    if (cli_connect(&keyboard.client, &err) < 0)
        return cli_fail(cli, &err);
    memcpy(keyboard.bytes, text, n);
    keyboard.bytes[n] = '\r';
    keyboard.n = n + 1;
    while (keyboard.n && g_get_monotonic_time() < until_us) {
        if (send_pending(&keyboard, &err) < 0)
            break;
        if (keyboard.n)
            g_usleep(RETRY_MS * 1000);
    }
    http_client_free(keyboard.client);
    if (keyboard.n && !err_is_set(&err)) {
        (void)err_set(&err, ERR_TIMEOUT, "console-not-read",
                      "%zu bytes wait in vain to be read by the guest of VM %s", keyboard.n, name);
        (void)err_arg(&err, "vm", "%s", name);
        (void)err_fix(&err, "see what it does: godwit vm console %s --log", name);
    }
    return keyboard.n ? cli_fail(cli, &err) : CLI_DONE;
}

/* What is there. */
static int print_log(struct cli *cli, struct console_reader *reader, struct err *err)
{
    g_autoptr(GString) whole = g_string_new(NULL);
    for (;;) {
        g_autofree char *text = NULL;
        bool has_moved;
        if (console_reader_next(reader, 0, &text, &has_moved, err) < 0)
            return -1;
        if (!*text && !has_moved)
            break;
        if (cli->json)
            (void)g_string_append(whole, text);
        else if (print(text, err) < 0)
            return -1;
    }
    if (cli->json) {
        g_autoptr(JsonObject) document = json_object_new();
        json_object_set_string_member(document, "text", whole->str);
        cli_print_json(document);
    }
    return 0;
}

int cmd_vm_console(struct cli *cli, int argc, char **argv)
{
    gboolean log = FALSE;
    g_autofree char *text = NULL;
    const GOptionEntry entries[] = {
        {"log", 0, 0, G_OPTION_ARG_NONE, &log, "print what is there and end", NULL},
        {"type", 0, 0, G_OPTION_ARG_STRING, &text, "type a line and end", "TEXT"},
        {NULL},
    };
    if (cli_options(cli_current(), entries, 1, &argc, &argv) < 0)
        return CLI_USAGE;
    if (text && log)
        return cli_usage_error("--log and --type exclude each other");
    if (text)
        return type_text(cli, argv[1], text);
    if (!log && !cli->json && isatty(STDIN_FILENO))
        return attach(cli, argv[1]);
    struct console_reader reader;
    struct http_client *client = NULL;
    struct err err = {0};
    if (cli_connect(&client, &err) < 0)
        return cli_fail(cli, &err);
    console_reader_init(&reader, client, argv[1]);
    int result = log || cli->json ? print_log(cli, &reader, &err) : read_on(&reader, &err);
    http_client_free(client);
    return result < 0 ? cli_fail(cli, &err) : CLI_DONE;
}
