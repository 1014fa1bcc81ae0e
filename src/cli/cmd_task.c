/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "cli/cli.h"
#include "cli/follow.h"
#include "cli/query.h"
#include "model/move.h"

/* Of so many of the member's own units is one that is shown. "" before the start, and where nothing was
 * measured. */
static char *figure(JsonObject *task, const char *member, int digits, double per_unit, const char *unit)
{
    double value = cli_real(task, member);
    return value > 0 ? g_strdup_printf("%.*f %s", digits, value / per_unit, unit) : g_strdup("");
}

/* Why it ended so; of one that is open, how it stands. */
static char *explain(JsonObject *task)
{
    JsonObject *error = cli_object(task, "error");
    const char *cause = cli_string(error, "cause");
    const char *waiting = cli_string(task, "waiting_for");
    bool is_open = !*cli_string(task, "ended");
    if (error)
        return g_strdup_printf(*cause ? "%s (%s)" : "%s%s", cli_string(error, "message"), cause);
    if (!is_open)
        return NULL;
    return g_strdup_printf("%s%s%s", cli_string(task, "phase"), *waiting ? ", waits for " : "", waiting);
}

static void add_task_row(struct table *table, JsonObject *task)
{
    JsonArray *rounds = cli_array(task, "rounds");
    g_autofree char *duration = figure(task, "duration_ms", 2, 1e3, "s");
    g_autofree char *downtime = figure(task, "downtime_ms", 1, 1, "ms");
    g_autofree char *wire = figure(task, "bytes_on_wire", 1, 1e6, "MB");
    g_autofree char *count = g_strdup_printf("%u", rounds ? json_array_get_length(rounds) : 0);
    g_autofree char *why = explain(task);
    table_row(table, cli_string(task, "task"), cli_string(task, "state"), cli_string(task, "vm"),
              cli_string(task, "source"), cli_string(task, "destination"), cli_string(task, "user"),
              cli_string(task, "created"), duration, downtime, wire, count, why ? why : "", NULL);
}

int cmd_task_ls(struct cli *cli, int argc, char **argv)
{
    static const struct query_field fields[] = {
        {"vm", "of this VM: its name then, or its UUID", "V", NULL},
        {"host", "from or to this host", "H", NULL},
        {"state", "queued, running, success, error or cancelled", "S", NULL},
        {"user", "that this user asked for", "U", NULL},
        {"since", "made at this time or later", "TIME", NULL},
        {"until", "made at this time or before", "TIME", NULL},
        {"before", "made before this task", "T", NULL},
        {"limit", "how many, newest first (20)", "N", "20"},
        {NULL},
    };
    static const char *const headings[] = {"TASK",     "STATE",    "VM",   "FROM",   "TO",  "BY", "CREATED",
                                           "DURATION", "DOWNTIME", "WIRE", "ROUNDS", "WHY", NULL};
    g_autofree char *path = query_path("/v1/tasks", fields, &argc, &argv);
    return path ? cli_list(cli, &(struct cli_listing){path, "tasks", headings, add_task_row}) : CLI_USAGE;
}

static void print_timeline(JsonObject *task)
{
    static const char *const headings[] = {"TIME", "SIDE", "HOST", "EVENT", "DETAIL", NULL};
    struct table *table = table_new(headings);
    JsonArray *lines = cli_array(task, "timeline");
    for (guint i = 0; lines && i < json_array_get_length(lines); i++) {
        JsonObject *line = json_array_get_object_element(lines, i);
        table_row(table, cli_string(line, "time"), cli_string(line, "side"), cli_string(line, "host"),
                  cli_string(line, "event"), cli_string(line, "detail"), NULL);
    }
    table_print(table);
    putchar('\n');
}

static void print_phases(JsonObject *task)
{
    static const char *const headings[] = {"PHASE", "START", "MS", NULL};
    struct table *table = table_new(headings);
    JsonArray *phases = cli_array(task, "phases");
    for (guint i = 0; phases && i < json_array_get_length(phases); i++) {
        JsonObject *phase = json_array_get_object_element(phases, i);
        g_autofree char *ms = g_strdup_printf("%.0f", cli_real(phase, "ms"));
        table_row(table, cli_string(phase, "name"), cli_string(phase, "start"), ms, NULL);
    }
    table_print(table);
}

static void print_rounds(JsonObject *task)
{
    static const char *const headings[] = {"ROUND",       "PAGES",   "BYTES",        "MS",
                                           "DIRTY AFTER", "STUN MS", "HELD TO MB/S", NULL};
    JsonArray *rounds = cli_array(task, "rounds");
    if (!rounds || !json_array_get_length(rounds))
        return;
    putchar('\n');
    struct table *table = table_new(headings);
    for (guint i = 0; i < json_array_get_length(rounds); i++) {
        JsonObject *round = json_array_get_object_element(rounds, i);
        g_autofree char *n = g_strdup_printf("%d", (int)cli_number(round, "n"));
        g_autofree char *pages = g_strdup_printf("%" G_GINT64_FORMAT, cli_number(round, "pages"));
        g_autofree char *bytes = g_strdup_printf("%" G_GINT64_FORMAT, cli_number(round, "bytes"));
        g_autofree char *ms = g_strdup_printf("%.1f", cli_real(round, "ms"));
        g_autofree char *dirty = g_strdup_printf("%" G_GINT64_FORMAT, cli_number(round, "dirty_pages"));
        g_autofree char *stun = g_strdup_printf("%.1f", cli_real(round, "stun_us") / 1e3);
        g_autofree char *held = g_strdup_printf("%.1f", cli_real(round, "throttle_bytes_s") / 1e6);
        table_row(table, n, pages, bytes, ms, dirty, stun, cli_number(round, "throttle_bytes_s") ? held : "-",
                  NULL);
    }
    table_print(table);
}

/* What both hosts were told. */
static void print_specification(JsonObject *task)
{
    JsonObject *specification = cli_object(task, "specification");
    JsonObject *vm = specification ? cli_object(specification, "vm") : NULL;
    JsonArray *addresses = specification ? cli_array(specification, "addresses") : NULL;
    if (!vm || !addresses)
        return;
    const char *without = cli_string(vm, "cpu_without");
    const char *baseline = cli_string(vm, "cpu_baseline");
    printf("specification: %d MiB, %d CPUs, %s, %s, %s%s%s; %d channels, %s\n",
           (int)cli_number(vm, "memory_mib"), (int)cli_number(vm, "cpus"), cli_string(vm, "accel"),
           cli_string(vm, "machine"), *baseline ? baseline : cli_string(vm, "cpu_model"),
           *without ? " without " : "", without, (int)cli_number(specification, "channels"),
           model_flag(specification, "encrypt") ? "encrypted" : "in the clear");
    for (guint i = 0; i < json_array_get_length(addresses); i++) {
        JsonObject *pair = json_array_get_object_element(addresses, i);
        printf("  from %s to %s port %d\n", cli_string(pair, "from"), cli_string(pair, "to"),
               (int)cli_number(specification, "port"));
    }
    putchar('\n');
}

static void print_switch_over(JsonObject *task)
{
    static const char *const headings[] = {"SWITCH-OVER", "SIDE", "AT MS", "TOOK MS", NULL};
    JsonArray *steps = cli_array(task, "switch_over");
    double before = 0;
    if (!steps || !json_array_get_length(steps))
        return;
    putchar('\n');
    struct table *table = table_new(headings);
    for (guint i = 0; i < json_array_get_length(steps); i++) {
        JsonObject *step = json_array_get_object_element(steps, i);
        double us = cli_real(step, "us");
        g_autofree char *at = g_strdup_printf("%.3f", us / 1e3);
        g_autofree char *took = g_strdup_printf("%.3f", (us - before) / 1e3);
        before = us;
        table_row(table, cli_string(step, "step"), cli_string(step, "side"), at, took, NULL);
    }
    table_print(table);
}

/* Only those that there were. */
static void print_stuns(JsonObject *task)
{
    JsonArray *classes = cli_array(task, "stuns");
    if (!cli_number(task, "stun_us") || !classes)
        return;
    printf("guest held up for %.1f ms in all:", cli_real(task, "stun_us") / 1e3);
    for (guint i = 0; i < json_array_get_length(classes); i++) {
        JsonObject *class = json_array_get_object_element(classes, i);
        gint64 up_to = cli_number(class, "up_to_us");
        if (!cli_number(class, "count"))
            continue;
        if (up_to)
            printf("  %" G_GINT64_FORMAT " up to %" G_GINT64_FORMAT " us", cli_number(class, "count"), up_to);
        else
            printf("  %" G_GINT64_FORMAT " longer", cli_number(class, "count"));
    }
    printf("\n\n");
}

int cmd_task_show(struct cli *cli, int argc, char **argv)
{
    gboolean timeline = FALSE;
    const GOptionEntry entries[] = {
        {"timeline", 0, 0, G_OPTION_ARG_NONE, &timeline,
         "what both hosts and the manager saw; each phase, each round, each step of the switch-over", NULL},
        {NULL},
    };
    if (cli_options(cli_current(), entries, 1, &argc, &argv) < 0)
        return CLI_USAGE;
    g_autofree char *path = cli_path("/v1/tasks/", argv[1], "");
    g_autoptr(JsonObject) task = NULL;
    int result = cli_call(cli, "GET", path, NULL, &task);
    if (result)
        return result;
    if (cli->json) {
        cli_print_json(task);
        return CLI_DONE;
    }
    printf("task %s  %s  %s: %s -> %s  created %s\n", cli_string(task, "task"), cli_string(task, "state"),
           cli_string(task, "vm"), cli_string(task, "source"), cli_string(task, "destination"),
           cli_string(task, "created"));
    if (*cli_string(task, "waiting_for"))
        printf("%s: waiting for %s since %s\n", cli_string(task, "phase"), cli_string(task, "waiting_for"),
               cli_string(task, "waiting_since"));
    if (cli_number(task, "resumes"))
        printf("the copy went on over new connections %" G_GINT64_FORMAT
               " times; %.1f MB crossed the network again for that\n",
               cli_number(task, "resumes"), cli_real(task, "bytes_resent") / 1e6);
    JsonObject *error = cli_object(task, "error");
    if (error) {
        struct err err;
        model_error_from_json(error, &err);
        cli_print_error(stdout, "", "error", &err);
    }
    follow_print_warnings(task, stdout);
    if (timeline) {
        print_specification(task);
        print_stuns(task);
        print_timeline(task);
        print_phases(task);
        print_rounds(task);
        print_switch_over(task);
    }
    return CLI_DONE;
}

int cmd_task_follow(struct cli *cli, int argc, char **argv)
{
    if (cli_options(cli_current(), NULL, 1, &argc, &argv) < 0)
        return CLI_USAGE;
    follow_block_signals();
    return follow_and_report(cli, argv[1], false);
}

int cmd_task_cancel(struct cli *cli, int argc, char **argv)
{
    if (cli_options(cli_current(), NULL, 1, &argc, &argv) < 0)
        return CLI_USAGE;
    g_autofree char *path = cli_path("/v1/tasks/", argv[1], "/cancel");
    return cli_call_and_say(cli, "POST", path, NULL, "Task %s is being cancelled.", argv[1]);
}
