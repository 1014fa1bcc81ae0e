/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "base/cleanup.h"
#include "cli/findings.h"

struct check_options {
    char **to;
    char *pool;
    char *datastore;
    char *encryption;
};

static void check_options_clear(struct check_options *options)
{
    g_strfreev(options->to);
    g_free(options->pool);
    g_free(options->datastore);
    g_free(options->encryption);
}

static JsonObject *wishes(const struct check_options *options)
{
    JsonObject *object = json_object_new();
    if (options->pool)
        json_object_set_string_member(object, "pool", options->pool);
    if (options->datastore)
        json_object_set_string_member(object, "datastore", options->datastore);
    if (options->encryption)
        json_object_set_string_member(object, "encryption", options->encryption);
    return object;
}

static int ask(struct cli *cli, const char *vm, char **destinations, JsonObject *options,
               JsonObject **ret_answer)
{
    JsonObject *body = json_object_new();
    json_object_set_string_member(body, "vm", vm);
    if (options)
        json_object_set_object_member(body, "options", options);
    if (destinations) {
        JsonArray *names = json_array_new();
        for (; *destinations; destinations++)
            json_array_add_string_element(names, *destinations);
        json_object_set_array_member(body, "destinations", names);
    }
    return cli_call(cli, "POST", "/v1/checks", body, ret_answer);
}

/* Returns how many hosts it could go to. */
static unsigned print(struct cli *cli, JsonObject *answer)
{
    JsonArray *hosts = cli_array(answer, "hosts");
    unsigned n_good = 0;
    if (cli->json)
        cli_print_json(answer);
    else
        printf("VM %s on %s, to\n", cli_string(answer, "vm"), cli_string(answer, "source"));
    for (guint i = 0; hosts && i < json_array_get_length(hosts); i++) {
        JsonObject *host = json_array_get_object_element(hosts, i);
        JsonArray *findings = cli_array(host, "findings");
        n_good += !findings_refuse(findings);
        if (!cli->json)
            findings_print(stdout, cli_string(host, "host"), findings);
    }
    return n_good;
}

int cmd_vm_check(struct cli *cli, int argc, char **argv)
{
    auto_call(check_options_clear) struct check_options options = {0};
    g_autoptr(JsonObject) answer = NULL;
    const GOptionEntry entries[] = {
        {"to", 0, 0, G_OPTION_ARG_STRING_ARRAY, &options.to,
         "a host to go to; more than once for several, without for all", "H"},
        {"pool", 0, 0, G_OPTION_ARG_STRING, &options.pool,
         "its resource pool from then on; / for none (the same)", "P"},
        {"datastore", 0, 0, G_OPTION_ARG_STRING, &options.datastore,
         "its disks move along to this datastore of the destination (they stay on theirs)", "D"},
        {"encryption", 0, 0, G_OPTION_ARG_STRING, &options.encryption,
         "disabled, opportunistic (the default: if both hosts can) or required", "MODE"},
        {NULL},
    };
    if (cli_options(cli_current(), entries, 1, &argc, &argv) < 0)
        return CLI_USAGE;
    int result = ask(cli, argv[1], options.to, wishes(&options), &answer);
    if (result)
        return result;
    return print(cli, answer) ? CLI_DONE : CLI_FAILED;
}
