/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "cli/cli.h"
#include "doctor/doctor.h"

struct doctor_options {
    char *from, *to, *bundle;
    char *config, *manager_config;
};

static void doctor_options_clear(struct doctor_options *options)
{
    g_free(options->from);
    g_free(options->to);
    g_free(options->bundle);
    g_free(options->config);
    g_free(options->manager_config);
}

static void print_line(JsonObject *line)
{
    const char *verdict = cli_string(line, "verdict"), *cause = cli_string(line, "cause");
    bool is_quiet = !strcmp(verdict, "not-here");
    printf("%-8s  %s: %s%s%s\n", is_quiet ? "not here" : verdict, cli_string(line, "what"),
           cli_string(line, "message"), is_quiet && *cause ? ": " : "", is_quiet ? cause : "");
    if (*cause && !is_quiet)
        printf("            cause: %s\n", cause);
    if (*cli_string(line, "fix"))
        printf("            fix:   %s\n", cli_string(line, "fix"));
}

static unsigned count(JsonArray *lines, const char *verdict)
{
    unsigned n = 0;
    for (guint i = 0; lines && i < json_array_get_length(lines); i++)
        n += !strcmp(cli_string(json_array_get_object_element(lines, i), "verdict"), verdict);
    return n;
}

/* Lines of this machine's doctor and of the manager's alike. */
static int print(struct cli *cli, JsonObject *document)
{
    JsonArray *lines = cli_array(document, "checks");
    unsigned n_problems = count(lines, "problem"), n_warnings = count(lines, "warning");
    if (cli->json) {
        cli_print_json(document);
        return n_problems ? CLI_FAILED : CLI_DONE;
    }
    for (guint i = 0; lines && i < json_array_get_length(lines); i++)
        print_line(json_array_get_object_element(lines, i));
    printf("\n%u problem%s, %u warning%s\n", n_problems, n_problems == 1 ? "" : "s", n_warnings,
           n_warnings == 1 ? "" : "s");
    return n_problems ? CLI_FAILED : CLI_DONE;
}

static int measure_way(struct cli *cli, const struct doctor_options *options)
{
    g_autoptr(JsonObject) answer = NULL;
    JsonObject *body = json_object_new();
    json_object_set_string_member(body, "from", options->from);
    json_object_set_string_member(body, "to", options->to);
    int result = cli_call(cli, "POST", "/v1/diagnoses", body, &answer);
    return result ? result : print(cli, answer);
}

static int pack(struct cli *cli, const struct doctor_wish *wish, const struct diagnoses *lines,
                const char *path)
{
    struct err err = {0};
    if (doctor_bundle(wish, lines, path, &err) < 0)
        return cli_fail(cli, &err);
    fprintf(stderr, "%s holds what is needed elsewhere; look at it before you give it away\n", path);
    return CLI_DONE;
}

static int examine(struct cli *cli, const struct doctor_options *options)
{
    struct doctor_wish wish = {.agent_config = options->config ? options->config : DOCTOR_AGENT_CONFIG,
                               .manager_config =
                                   options->manager_config ? options->manager_config : DOCTOR_MANAGER_CONFIG};
    struct err err = {0};
    if (geteuid() != 0) {
        (void)err_set(&err, ERR_REFUSED, "not-root", "the doctor of a machine must be run by root");
        (void)err_fix(&err, "sudo godwit doctor; --from and --to ask the manager, and need no root");
        return cli_fail(cli, &err);
    }
    /* Most hosts know no token: then there is no word of the manager. */
    (void)cli_connect(&wish.manager, &wish.manager_err);
    struct diagnoses *lines = diagnoses_new();
    g_autoptr(JsonObject) document = json_object_new();
    doctor_examine(&wish, lines);
    json_object_set_array_member(document, "checks", diagnoses_to_json(lines));
    int packed = options->bundle ? pack(cli, &wish, lines, options->bundle) : CLI_DONE;
    int result = packed == CLI_DONE ? print(cli, document) : packed;
    diagnoses_free(lines);
    http_client_free(wish.manager);
    return result;
}

int cmd_doctor(struct cli *cli, int argc, char **argv)
{
    auto_call(doctor_options_clear) struct doctor_options options = {0};
    const GOptionEntry entries[] = {
        {"from", 0, 0, G_OPTION_ARG_STRING, &options.from,
         "with --to: the way between two hosts, measured by both", "H"},
        {"to", 0, 0, G_OPTION_ARG_STRING, &options.to, "the other host", "H"},
        {"bundle", 0, 0, G_OPTION_ARG_FILENAME, &options.bundle,
         "also pack versions, configurations, logs and tasks, without secrets, into FILE (.tar.gz, .tar.zst)",
         "FILE"},
        {"config", 0, 0, G_OPTION_ARG_FILENAME, &options.config,
         "the agent's configuration (" DOCTOR_AGENT_CONFIG ")", "FILE"},
        {"manager-config", 0, 0, G_OPTION_ARG_FILENAME, &options.manager_config,
         "the manager's (" DOCTOR_MANAGER_CONFIG ")", "FILE"},
        {NULL},
    };
    if (cli_options(cli_current(), entries, 0, &argc, &argv) < 0)
        return CLI_USAGE;
    if (!options.from != !options.to)
        return cli_usage_error("--from and --to go together");
    if (options.from && (options.bundle || options.config || options.manager_config))
        return cli_usage_error("--from and --to look at a way, and the other options at this machine");
    return options.from ? measure_way(cli, &options) : examine(cli, &options);
}
