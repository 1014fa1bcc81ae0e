/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "cli/cli.h"

static void add_token_row(struct table *table, JsonObject *token)
{
    table_row(table, cli_string(token, "name"), cli_string(token, "created"), NULL);
}

int cmd_token_ls(struct cli *cli, int argc, char **argv)
{
    if (cli_options(cli_current(), NULL, 0, &argc, &argv) < 0)
        return CLI_USAGE;
    static const char *const headings[] = {"NAME", "CREATED", NULL};
    const struct cli_listing listing = {"/v1/tokens", "tokens", headings, add_token_row};
    return cli_list(cli, &listing);
}

int cmd_token_create(struct cli *cli, int argc, char **argv)
{
    if (cli_options(cli_current(), NULL, 1, &argc, &argv) < 0)
        return CLI_USAGE;
    JsonObject *body = json_object_new();
    json_object_set_string_member(body, "name", argv[1]);
    g_autoptr(JsonObject) answer = NULL;
    int result = cli_call(cli, "POST", "/v1/tokens", body, &answer);
    if (result)
        return result;
    if (cli->json)
        cli_print_json(answer);
    else
        printf("%s\n", cli_string(answer, "token"));
    return CLI_DONE;
}

int cmd_token_rm(struct cli *cli, int argc, char **argv)
{
    if (cli_options(cli_current(), NULL, 1, &argc, &argv) < 0)
        return CLI_USAGE;
    g_autofree char *path = cli_path("/v1/tokens/", argv[1], "");
    return cli_call_and_say(cli, "DELETE", path, NULL, "Token %s is revoked.", argv[1]);
}
