/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"

static void add_host_row(struct table *table, JsonObject *host)
{
    JsonObject *facts = cli_object(host, "facts");
    g_autofree char *address =
        g_strdup_printf("%s:%d", cli_string(host, "address"), (int)cli_number(host, "port"));
    g_autofree char *free_mib = g_strdup_printf("%" G_GINT64_FORMAT, cli_number(facts, "memory_free_mib"));
    g_autofree char *vms = g_strdup_printf("%" G_GINT64_FORMAT, cli_number(facts, "n_vms"));
    const char *maintenance = cli_string(host, "maintenance");
    bool takes_vms = !*maintenance || !strcmp(maintenance, "no");
    table_row(table, cli_string(host, "name"), takes_vms ? cli_string(host, "state") : "maintenance", address,
              facts ? free_mib : "", facts ? vms : "", cli_string(facts, "accel"),
              cli_string(facts, "dirty_source"), cli_string(facts, "qemu_version"), NULL);
}

int cmd_host_ls(struct cli *cli, int argc, char **argv)
{
    if (cli_options(cli_current(), NULL, 0, &argc, &argv) < 0)
        return CLI_USAGE;
    static const char *const headings[] = {"NAME",  "STATE",    "ADDRESS", "FREE MIB", "VMS",
                                           "ACCEL", "TRACKING", "QEMU",    NULL};
    const struct cli_listing listing = {"/v1/hosts", "hosts", headings, add_host_row};
    return cli_list(cli, &listing);
}

/* Members of an object as "name  value" lines; arrays and objects as JSON. */
static void print_members(JsonObject *object, int indent)
{
    g_autoptr(GList) members = json_object_get_members(object);
    for (GList *at = members; at; at = at->next) {
        JsonNode *node = json_object_get_member(object, at->data);
        if (JSON_NODE_HOLDS_OBJECT(node)) {
            printf("%*s%s\n", indent, "", (const char *)at->data);
            print_members(json_node_get_object(node), indent + 2);
            continue;
        }
        g_autofree char *text = JSON_NODE_HOLDS_VALUE(node) && json_node_get_value_type(node) == G_TYPE_STRING
                                    ? g_strdup(json_node_get_string(node))
                                    : json_to_string(node, FALSE);
        printf("%*s%-*s %s\n", indent, "", 24 - indent, (const char *)at->data, text);
    }
}

int cli_show(struct cli *cli, const char *path)
{
    g_autoptr(JsonObject) answer = NULL;
    int result = cli_call(cli, "GET", path, NULL, &answer);
    if (result)
        return result;
    if (cli->json)
        cli_print_json(answer);
    else
        print_members(answer, 0);
    return CLI_DONE;
}

int cmd_host_show(struct cli *cli, int argc, char **argv)
{
    if (cli_options(cli_current(), NULL, 1, &argc, &argv) < 0)
        return CLI_USAGE;
    g_autofree char *path = cli_path("/v1/hosts/", argv[1], "");
    return cli_show(cli, path);
}

int cmd_vm_show(struct cli *cli, int argc, char **argv)
{
    if (cli_options(cli_current(), NULL, 1, &argc, &argv) < 0)
        return CLI_USAGE;
    g_autofree char *path = cli_path("/v1/vms/", argv[1], "");
    return cli_show(cli, path);
}

/* Host, --address and --port as a body with `address` and `port`; NULL: said why (CLI_USAGE). */
static JsonObject *take_address(int *argc, char ***argv)
{
    g_autofree char *address = NULL;
    int port = 8443;
    const GOptionEntry entries[] = {
        {"address", 0, 0, G_OPTION_ARG_STRING, &address, "address of its agent on the management network",
         "A"},
        {"port", 0, 0, G_OPTION_ARG_INT, &port, "port of its agent (8443)", "N"},
        {NULL},
    };
    if (cli_options(cli_current(), entries, 1, argc, argv) < 0)
        return NULL;
    if (!address || port < 1 || port > 65535) {
        if (!address)
            (void)cli_usage_error("--address is needed: where the host's agent listens");
        else
            (void)cli_usage_error("--port must be from 1 to 65535, not %d", port);
        return NULL;
    }
    JsonObject *body = json_object_new();
    json_object_set_string_member(body, "address", address);
    json_object_set_int_member(body, "port", port);
    return body;
}

int cmd_host_adopt(struct cli *cli, int argc, char **argv)
{
    JsonObject *body = take_address(&argc, &argv);
    if (!body)
        return CLI_USAGE;
    g_autofree char *path = cli_path("/v1/hosts/", argv[1], "/adopt");
    return cli_call_and_say(cli, "POST", path, body, "Host %s is known again, with its VMs.", argv[1]);
}

int cmd_host_add(struct cli *cli, int argc, char **argv)
{
    JsonObject *body = take_address(&argc, &argv);
    if (!body)
        return CLI_USAGE;
    json_object_set_string_member(body, "name", argv[1]);
    g_autoptr(JsonObject) answer = NULL;
    int result = cli_call(cli, "POST", "/v1/hosts", body, &answer);
    if (result)
        return result;
    if (cli->json)
        cli_print_json(answer);
    else
        printf("Host %s is registered. On it, run:\n  godwit-agent enroll --manager https://MANAGER:8400 "
               "--token %s\n",
               argv[1], cli_string(answer, "token"));
    return CLI_DONE;
}

int cmd_host_enroll(struct cli *cli, int argc, char **argv)
{
    if (cli_options(cli_current(), NULL, 1, &argc, &argv) < 0)
        return CLI_USAGE;
    g_autofree char *path = cli_path("/v1/hosts/", argv[1], "/enroll");
    g_autoptr(JsonObject) answer = NULL;
    int result = cli_call(cli, "POST", path, NULL, &answer);
    if (result)
        return result;
    if (cli->json)
        cli_print_json(answer);
    else
        printf("On host %s, run:\n  godwit-agent enroll --manager https://MANAGER:8400 --token %s\n"
               "Its present certificate ends with that.\n",
               argv[1], cli_string(answer, "token"));
    return CLI_DONE;
}

int cmd_host_maintenance(struct cli *cli, int argc, char **argv)
{
    if (cli_options(cli_current(), NULL, 2, &argc, &argv) < 0)
        return CLI_USAGE;
    bool enters = !strcmp(argv[1], "enter");
    if (!enters && strcmp(argv[1], "exit") != 0)
        return cli_usage_error("say 'maintenance enter H' or 'maintenance exit H', not '%s'", argv[1]);
    g_autofree char *path = cli_path("/v1/hosts/", argv[2], "/maintenance");
    g_autoptr(JsonObject) host = NULL;
    int result = cli_call(cli, enters ? "POST" : "DELETE", path, NULL, &host);
    if (result)
        return result;
    if (cli->json)
        cli_print_json(host);
    else if (!enters)
        printf("Host %s takes VMs again.\n", argv[2]);
    else if (!strcmp(cli_string(host, "maintenance"), "yes"))
        printf("Host %s is in maintenance mode.\n", argv[2]);
    else
        printf("Host %s takes no more VMs. It is in maintenance mode once those on it are moved away or off "
               "(godwit vm ls).\n",
               argv[2]);
    return CLI_DONE;
}

int cmd_host_rm(struct cli *cli, int argc, char **argv)
{
    if (cli_options(cli_current(), NULL, 1, &argc, &argv) < 0)
        return CLI_USAGE;
    g_autofree char *path = cli_path("/v1/hosts/", argv[1], "");
    return cli_call_and_say(cli, "DELETE", path, NULL, "Host %s is forgotten.", argv[1]);
}
