/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"

static void print_hosts(JsonArray *hosts)
{
    static const char *const headings[] = {"HOST", "CPU BASELINE", "PROBLEM", NULL};
    struct table *table = table_new(headings);
    for (guint i = 0; hosts && i < json_array_get_length(hosts); i++) {
        JsonObject *host = json_array_get_object_element(hosts, i);
        table_row(table, cli_string(host, "host"), cli_string(host, "cpu_baseline"),
                  cli_string(host, "problem"), NULL);
    }
    table_print(table);
}

static void print_cluster(JsonObject *cluster)
{
    JsonArray *possible = cli_array(cluster, "possible");
    JsonArray *vms = cli_array(cluster, "power_cycle_needed");
    printf("CPU baseline: %s\nAll connected hosts can provide:", cli_string(cluster, "cpu_baseline"));
    for (guint i = 0; possible && i < json_array_get_length(possible); i++)
        printf("%s %s", i ? "," : "", json_array_get_string_element(possible, i));
    printf("\n\n");
    print_hosts(cli_array(cluster, "hosts"));
    for (guint i = 0; vms && i < json_array_get_length(vms); i++) {
        JsonObject *vm = json_array_get_object_element(vms, i);
        if (!i)
            printf("\nStarted with more than the baseline, and so until they are switched off and on:\n");
        printf("  %s on %s: %s\n", cli_string(vm, "vm"), cli_string(vm, "host"),
               cli_string(vm, "cpu_beyond_baseline"));
    }
}

static void say_cluster(struct cli *cli, JsonObject *cluster)
{
    if (cli->json)
        cli_print_json(cluster);
    else
        print_cluster(cluster);
}

int cmd_cluster_show(struct cli *cli, int argc, char **argv)
{
    if (cli_options(cli_current(), NULL, 0, &argc, &argv) < 0)
        return CLI_USAGE;
    g_autoptr(JsonObject) cluster = NULL;
    int result = cli_call(cli, "GET", "/v1/cluster", NULL, &cluster);
    if (result)
        return result;
    say_cluster(cli, cluster);
    return CLI_DONE;
}

/* Each host with all that it lacks, which an error has no room for. */
static int refused(struct cli *cli, JsonObject *answer, const struct err *err)
{
    JsonArray *hosts = answer ? cli_array(answer, "hosts") : NULL;
    if (!hosts)
        return cli_fail(cli, err);
    if (cli->json) {
        cli_print_json(answer);
        return CLI_FAILED;
    }
    (void)cli_fail(cli, err);
    for (guint i = 0; i < json_array_get_length(hosts); i++) {
        JsonObject *host = json_array_get_object_element(hosts, i);
        const char *missing = cli_string(host, "missing");
        fprintf(stderr, "  host %s lacks: %s\n", cli_string(host, "host"),
                *missing ? missing : cli_string(host, "problem"));
    }
    return CLI_FAILED;
}

int cmd_cluster_set(struct cli *cli, int argc, char **argv)
{
    g_autofree char *baseline = NULL;
    const GOptionEntry entries[] = {
        {"cpu-baseline", 0, 0, G_OPTION_ARG_STRING, &baseline,
         "QEMU's name of a CPU model, as 'godwit cluster show' lists them, or none", "MODEL"},
        {NULL},
    };
    if (cli_options(cli_current(), entries, 0, &argc, &argv) < 0)
        return CLI_USAGE;
    if (!baseline)
        return cli_usage_error("--cpu-baseline is needed: a model, or none");
    JsonObject *body = json_object_new();
    json_object_set_string_member(body, "cpu_baseline", baseline);
    g_autoptr(JsonObject) answer = NULL;
    struct err err = {0};
    if (cli_ask("PATCH", "/v1/cluster", body, &answer, &err) < 0)
        return refused(cli, answer, &err);
    say_cluster(cli, answer);
    return CLI_DONE;
}
