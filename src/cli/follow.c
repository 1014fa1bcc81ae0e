/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/follow.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/steps.h"
#include "model/move.h"

#define BAR_WIDTH 24

struct follow {
    const char *id;
    bool terminal;
    struct steps steps;
    JsonObject *task; /* the newest; owned */
};

static bool is_final(JsonObject *task)
{
    const char *state = cli_string(task, "state");
    return !strcmp(state, "success") || !strcmp(state, "error") || !strcmp(state, "cancelled");
}

/* ", waiting for WHAT for N s" or "". The manager sends the task once a second while it waits. */
static char *wait_text(JsonObject *task)
{
    const char *what = cli_string(task, "waiting_for");
    g_autoptr(GDateTime) since = g_date_time_new_from_iso8601(cli_string(task, "waiting_since"), NULL);
    g_autoptr(GDateTime) now = g_date_time_new_now_utc();
    if (!*what)
        return g_strdup("");
    GTimeSpan waited = since ? g_date_time_difference(now, since) : 0;
    return g_strdup_printf(", waiting for %s for %d s", what, (int)(MAX(waited, 0) / G_TIME_SPAN_SECOND));
}

/* Disks come first: while one is not ready, their copy is the news. True: it was shown. */
static bool show_disks(JsonObject *task)
{
    JsonArray *disks = cli_array(task, "disks");
    bool is_under_way = false;
    for (guint i = 0; disks && i < json_array_get_length(disks); i++) {
        JsonObject *disk = json_array_get_object_element(disks, i);
        is_under_way |= !json_object_get_boolean_member(disk, "ready");
    }
    for (guint i = 0; is_under_way && i < json_array_get_length(disks); i++) {
        JsonObject *disk = json_array_get_object_element(disks, i);
        fprintf(stderr, "  %s %.0f of %.0f MB", cli_string(disk, "name"),
                (double)cli_number(disk, "bytes_done") / 1e6, (double)cli_number(disk, "bytes_total") / 1e6);
    }
    return is_under_way;
}

static void show_bar(JsonObject *task)
{
    g_autofree char *wait = wait_text(task);
    int percent = (int)CLAMP(cli_number(task, "progress"), 0, 100);
    char bar[BAR_WIDTH + 1];
    for (int i = 0; i < BAR_WIDTH; i++)
        bar[i] = i < percent * BAR_WIDTH / 100 ? '=' : ' ';
    bar[BAR_WIDTH] = '\0';
    fprintf(stderr, "\r\033[K[%s] %3d %%  %s%s", bar, percent, cli_string(task, "phase"), wait);
    double rate = cli_real(task, "rate_bytes_s") / 1e6;
    if (!show_disks(task) && rate > 0)
        fprintf(stderr, "  %.0f of %.0f MB  %.0f MB/s  dirty %.0f MB/s",
                (double)cli_number(task, "bytes_on_wire") / 1e6, (double)cli_number(task, "ram_bytes") / 1e6,
                rate, cli_real(task, "dirty_bytes_s") / 1e6);
    if (cli_number(task, "throttle_bytes_s") > 0)
        fprintf(stderr, "  guest throttled to %.0f MB/s", cli_real(task, "throttle_bytes_s") / 1e6);
    if (cli_number(task, "eta_ms") > 0)
        fprintf(stderr, "  %.1f s left", (double)cli_number(task, "eta_ms") / 1e3);
    (void)fflush(stderr);
}

static bool on_event(const char *name, JsonObject *object, void *user)
{
    struct follow *follow = user;
    if (strcmp(name, "task"))
        return true;
    if (follow->task)
        json_object_unref(follow->task);
    follow->task = json_object_ref(object);
    const char *phase = cli_string(object, "phase");
    if (follow->terminal) {
        show_bar(object);
    } else if (steps_say(&follow->steps, phase, cli_string(object, "waiting_for"), clock_now_ns())) {
        g_autofree char *wait = wait_text(object);
        fprintf(stderr, "%3d %%  %s%s\n", (int)cli_number(object, "progress"), phase, wait);
    }
    return !is_final(object);
}

/* The thread that takes Ctrl-C while the main thread sits in the event stream. */
struct interrupt {
    pthread_t thread;
    const char *id;
    bool cancels;
    atomic_bool ended;
};

static void ask_to_cancel(const char *id)
{
    struct err err = {0};
    struct http_client *client = NULL;
    g_autofree char *path = cli_path("/v1/tasks/", id, "/cancel");
    JsonObject *answer = NULL;
    if (cli_connect(&client, &err) == 0 &&
        http_client_call_sync(client, &(struct http_call){"POST", path, NULL, 10}, &answer, &err) == 0)
        fputs("\ncancelling; Ctrl-C again to leave without waiting\n", stderr);
    else
        fprintf(stderr, "\ncannot cancel: %s\n", err.message);
    if (answer)
        json_object_unref(answer);
    http_client_free(client);
}

static void *interrupt_main(void *user)
{
    struct interrupt *interrupt = user;
    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGINT);
    (void)sigaddset(&set, SIGUSR1);
    for (int count = 0;; count++) {
        int signal_number = 0;
        (void)sigwait(&set, &signal_number);
        if (atomic_load(&interrupt->ended))
            return NULL;
        if (count == 0 && interrupt->cancels) {
            ask_to_cancel(interrupt->id);
            continue;
        }
        (void)signal(SIGINT, SIG_DFL);
        (void)pthread_sigmask(SIG_UNBLOCK, &set, NULL);
        (void)raise(SIGINT);
    }
}

void follow_block_signals(void)
{
    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGINT);
    (void)sigaddset(&set, SIGUSR1);
    (void)pthread_sigmask(SIG_BLOCK, &set, NULL);
}

static bool interrupt_start(struct interrupt *interrupt)
{
    return pthread_create(&interrupt->thread, NULL, interrupt_main, interrupt) == 0;
}

static void interrupt_end(struct interrupt *interrupt)
{
    atomic_store(&interrupt->ended, true);
    (void)pthread_kill(interrupt->thread, SIGUSR1);
    (void)pthread_join(interrupt->thread, NULL);
}

/* The manager may restart while its task goes on: the stream is opened again for a while before giving up. */
static int stream_until_final(struct follow *follow, const char *path, struct err *err)
{
    for (int failures = 0; failures < 60;) {
        struct http_client *client = NULL;
        int result = cli_connect(&client, err);
        if (result == 0)
            result = http_client_events_sync(client, path, on_event, follow, err);
        http_client_free(client);
        if (follow->task && is_final(follow->task))
            return 0;
        if (result < 0 && err->code != ERR_PEER_LOST && err->code != ERR_TIMEOUT)
            return -1;
        failures++;
        g_usleep(500000);
    }
    return err_set(err, ERR_PEER_LOST, "manager-lost",
                   "the manager could not be reached for 30 s; the task may go on without it");
}

/* The final task, transfer full; -1: the stream was lost for good. */
static int watch(const char *id, bool cancels, JsonObject **ret_task, struct err *err)
{
    struct follow follow = {.id = id, .terminal = isatty(STDERR_FILENO)};
    struct interrupt interrupt = {.id = id, .cancels = cancels};
    steps_init(&follow.steps);
    bool interruptible = interrupt_start(&interrupt);
    g_autofree char *path = cli_path("/v1/tasks/", id, "/events");
    int result = stream_until_final(&follow, path, err);
    if (interruptible)
        interrupt_end(&interrupt);
    steps_clear(&follow.steps);
    if (follow.terminal)
        fputs("\r\033[K", stderr);
    if (result == 0)
        *ret_task = follow.task;
    else if (follow.task)
        json_object_unref(follow.task);
    return result;
}

void follow_print_warnings(JsonObject *task, FILE *file)
{
    JsonArray *warnings = cli_array(task, "warnings");
    for (guint i = 0; warnings && i < json_array_get_length(warnings); i++) {
        JsonObject *warning = json_array_get_object_element(warnings, i);
        fprintf(file, "warning: %s\n  fix:   %s\n", cli_string(warning, "message"),
                cli_string(warning, "fix"));
    }
}

static void report_success(JsonObject *task)
{
    static const char *const headings[] = {"VM",     "FROM", "TO",   "DURATION", "DOWNTIME",
                                           "ROUNDS", "WIRE", "RATE", NULL};
    struct table *table = table_new(headings);
    JsonArray *rounds = cli_array(task, "rounds");
    g_autofree char *duration = g_strdup_printf("%.2f s", cli_real(task, "duration_ms") / 1e3);
    g_autofree char *downtime = g_strdup_printf("%.1f ms", cli_real(task, "downtime_ms"));
    g_autofree char *count = g_strdup_printf("%u", rounds ? json_array_get_length(rounds) : 0);
    g_autofree char *bytes = g_strdup_printf("%.1f MB", (double)cli_number(task, "bytes_on_wire") / 1e6);
    g_autofree char *rate = g_strdup_printf("%.1f MB/s", cli_real(task, "throughput_mb_s"));
    table_row(table, cli_string(task, "vm"), cli_string(task, "source"), cli_string(task, "destination"),
              duration, downtime, count, bytes, rate, NULL);
    table_print(table);
    follow_print_warnings(task, stderr);
}

static int report(struct cli *cli, JsonObject *task)
{
    const char *state = cli_string(task, "state");
    bool success = !strcmp(state, "success");
    if (cli->json) {
        cli_print_json(task);
    } else if (success) {
        report_success(task);
    } else {
        struct err err = {0};
        JsonObject *error = cli_object(task, "error");
        if (error)
            model_error_from_json(error, &err);
        fprintf(stderr, "task %s: %s\n", cli_string(task, "task"), state);
        (void)cli_fail(cli, &err);
    }
    return success ? CLI_DONE : CLI_FAILED;
}

int follow_and_report(struct cli *cli, const char *id, bool cancels)
{
    struct err err = {0};
    g_autoptr(JsonObject) task = NULL;
    if (watch(id, cancels, &task, &err) < 0)
        return cli_fail(cli, &err);
    return report(cli, task);
}
