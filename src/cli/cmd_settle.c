/* SPDX-License-Identifier: Apache-2.0 */
/* The operator's last resort: which host owns a VM. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "cli/cli.h"
#include "model/json.h"

struct settle_options {
    char *owner;
    char *confirm;
    char **down;
};

static void settle_options_clear(struct settle_options *options)
{
    g_free(options->owner);
    g_free(options->confirm);
    g_strfreev(options->down);
}

static bool truth(JsonObject *object, const char *member)
{
    return model_flag(object, member);
}

static void add_row(struct table *table, JsonObject *host)
{
    if (!truth(host, "answers")) {
        table_row(table, cli_string(host, "host"), "no answer", "", "", "", "", NULL);
        return;
    }
    g_autofree char *epoch = g_strdup_printf("%" G_GINT64_FORMAT, cli_number(host, "epoch"));
    g_autofree char *pid = cli_number(host, "pid")
                               ? g_strdup_printf("%" G_GINT64_FORMAT, cli_number(host, "pid"))
                               : g_strdup("");
    table_row(table, cli_string(host, "host"), cli_string(host, "journal"), epoch,
              truth(host, "is_registered") ? cli_string(host, "state") : "not here", pid,
              cli_string(host, "session"), NULL);
}

static void print_ownership(JsonObject *answer)
{
    static const char *const headings[] = {"HOST", "JOURNAL", "EPOCH", "VM", "QEMU", "LAST MOVE", NULL};
    struct table *table = table_new(headings);
    JsonArray *hosts = cli_array(answer, "hosts");
    for (guint i = 0; hosts && i < json_array_get_length(hosts); i++)
        add_row(table, json_array_get_object_element(hosts, i));
    table_print(table);
    const char *owner = cli_string(answer, "owner");
    const char *dispute = cli_string(answer, "dispute");
    if (*owner && !*dispute)
        printf("Host %s owns VM %s; there is nothing to settle.\n", owner, cli_string(answer, "vm"));
    else
        printf("In dispute: %s.\n", dispute);
    JsonObject *settlement = cli_object(answer, "settlement");
    if (!settlement)
        return;
    printf("Settled by %s: host %s owns it in epoch %" G_GINT64_FORMAT ". ", cli_string(settlement, "user"),
           cli_string(settlement, "owner"), cli_number(settlement, "epoch"));
    puts(truth(settlement, "is_owned") ? "It has it; hosts that were down are told when they are back."
                                       : "It has it as soon as every host that is not down gave it up.");
}

/* One host's part of what the command will do. */
static void print_step(JsonObject *host, const char *owner)
{
    const char *name = cli_string(host, "host");
    bool is_owner = !strcmp(name, owner);
    if (!truth(host, "answers"))
        printf("  %s is taken for switched off; it is told to give the VM up when it is back\n", name);
    else if (is_owner && truth(host, "has_guest"))
        printf("  %s owns the VM; its guest runs on\n", name);
    else if (is_owner)
        printf("  %s owns the VM; it is off there\n", name);
    else if (cli_number(host, "pid"))
        printf("  %s gives the VM up, and its QEMU %" G_GINT64_FORMAT
               " is ended with what it has in memory\n",
               name, cli_number(host, "pid"));
    else if (strcmp(cli_string(host, "journal"), "absent") != 0)
        printf("  %s gives the VM up\n", name);
}

static int show(struct cli *cli, const char *name, JsonObject **ret_answer)
{
    g_autofree char *path = cli_path("/v1/vms/", name, "/ownership");
    int result = cli_call(cli, "GET", path, NULL, ret_answer);
    if (!result && !cli->json)
        print_ownership(*ret_answer);
    return result;
}

/* On a terminal, after it was shown what will be done. NULL: nothing was typed. */
static char *ask(JsonObject *answer, const char *owner)
{
    char line[128];
    JsonArray *hosts = cli_array(answer, "hosts");
    puts("This will be done:");
    for (guint i = 0; hosts && i < json_array_get_length(hosts); i++)
        print_step(json_array_get_object_element(hosts, i), owner);
    fputs("If a host that is taken for switched off runs the guest, there will be two.\n"
          "Type the name of the host that owns the VM from now on: ",
          stdout);
    (void)fflush(stdout);
    return fgets(line, sizeof line, stdin) ? g_strdup(g_strstrip(line)) : NULL;
}

static JsonObject *body_of(const struct settle_options *options)
{
    JsonObject *body = json_object_new();
    JsonArray *down = json_array_new();
    for (char **name = options->down; name && *name; name++)
        json_array_add_string_element(down, *name);
    json_object_set_string_member(body, "owner", options->owner);
    json_object_set_string_member(body, "confirm", options->confirm);
    json_object_set_array_member(body, "hosts_down", down);
    return body;
}

static int settle(struct cli *cli, const char *name, struct settle_options *options)
{
    if (!options->confirm) {
        g_autoptr(JsonObject) answer = NULL;
        if (cli->json || !isatty(STDIN_FILENO))
            return cli_usage_error("without a terminal --confirm with the owner's name is needed");
        int result = show(cli, name, &answer);
        if (result)
            return result;
        options->confirm = ask(answer, options->owner);
        if (!options->confirm || strcmp(options->confirm, options->owner) != 0) {
            fputs("godwit: that is not the owner's name; nothing was changed\n", stderr);
            return CLI_FAILED;
        }
    }
    g_autofree char *path = cli_path("/v1/vms/", name, "/settle");
    return cli_call_and_say(cli, "POST", path, body_of(options), "Host %s owns VM %s.", options->owner, name);
}

int cmd_vm_settle(struct cli *cli, int argc, char **argv)
{
    auto_call(settle_options_clear) struct settle_options options = {0};
    const GOptionEntry entries[] = {
        {"owner", 0, 0, G_OPTION_ARG_STRING, &options.owner, "the host that owns the VM from now on", "H"},
        {"confirm", 0, 0, G_OPTION_ARG_STRING, &options.confirm, "the owner's name once more, for scripts",
         "H"},
        {"host-is-down", 0, 0, G_OPTION_ARG_STRING_ARRAY, &options.down,
         "a host that does not answer and is switched off for certain; may be repeated", "H"},
        {NULL},
    };
    if (cli_options(cli_current(), entries, 1, &argc, &argv) < 0)
        return CLI_USAGE;
    if (!options.owner && (options.confirm || options.down))
        return cli_usage_error("--confirm and --host-is-down belong to --owner");
    if (options.owner)
        return settle(cli, argv[1], &options);
    g_autoptr(JsonObject) answer = NULL;
    int result = show(cli, argv[1], &answer);
    if (!result && cli->json)
        cli_print_json(answer);
    return result;
}
