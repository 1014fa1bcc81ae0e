/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "cli/cli.h"
#include "cli/disk_text.h"
#include "model/json.h"

/* "h1 ok, h2 stale"; with what each one has, if they differ. */
static char *hosts_text(JsonArray *hosts, bool with_identity)
{
    GString *text = g_string_new(NULL);
    for (guint i = 0; hosts && i < json_array_get_length(hosts); i++) {
        JsonObject *host = json_array_get_object_element(hosts, i);
        bool is_connected = model_flag(host, "connected");
        g_string_append_printf(text, "%s%s %s", text->len ? ", " : "", cli_string(host, "host"),
                               is_connected ? cli_string(host, "state") : "disconnected");
        if (is_connected && model_flag(host, "slow"))
            g_string_append(text, " (slow)");
        if (with_identity && *cli_string(host, "uuid"))
            g_string_append_printf(text, " (%s)", cli_string(host, "uuid"));
    }
    return g_string_free(text, FALSE);
}

static void add_row(struct table *table, JsonObject *datastore)
{
    JsonArray *identities = cli_array(datastore, "identities");
    guint n = identities ? json_array_get_length(identities) : 0;
    gint64 capacity = cli_number(datastore, "capacity_bytes");
    g_autofree char *whole = size_text(capacity);
    g_autofree char *rest = size_text(cli_number(datastore, "free_bytes"));
    g_autofree char *hosts = hosts_text(cli_array(datastore, "hosts"), n > 1);
    g_autofree char *several = g_strdup_printf("%u identities", n);
    const char *identity = n > 1 ? several : n ? json_array_get_string_element(identities, 0) : "none";
    table_row(table, cli_string(datastore, "name"), identity, cli_string(datastore, "type"),
              capacity ? whole : "", capacity ? rest : "", hosts, NULL);
}

int cmd_datastore_ls(struct cli *cli, int argc, char **argv)
{
    if (cli_options(cli_current(), NULL, 0, &argc, &argv) < 0)
        return CLI_USAGE;
    static const char *const headings[] = {"NAME", "UUID", "TYPE", "CAPACITY", "FREE", "HOSTS", NULL};
    const struct cli_listing listing = {"/v1/datastores", "datastores", headings, add_row};
    return cli_list(cli, &listing);
}

int cmd_datastore_show(struct cli *cli, int argc, char **argv)
{
    if (cli_options(cli_current(), NULL, 1, &argc, &argv) < 0)
        return CLI_USAGE;
    g_autofree char *path = cli_path("/v1/datastores/", argv[1], "");
    return cli_show(cli, path);
}

int cmd_datastore_init(struct cli *cli, int argc, char **argv)
{
    g_autofree char *host = NULL;
    gboolean force = FALSE;
    const GOptionEntry entries[] = {
        {"host", 0, 0, G_OPTION_ARG_STRING, &host, "a host that has it mounted", "H"},
        {"force", 0, 0, G_OPTION_ARG_NONE, &force,
         "although an identity of that name was seen: it is another datastore", NULL},
        {NULL},
    };
    if (cli_options(cli_current(), entries, 1, &argc, &argv) < 0)
        return CLI_USAGE;
    if (!host)
        return cli_usage_error("--host is needed: a host that has the datastore mounted");
    JsonObject *body = json_object_new();
    json_object_set_boolean_member(body, "force", force);
    g_autofree char *prefix = cli_path("/v1/hosts/", host, "/datastores/");
    g_autofree char *path = cli_path(prefix, argv[1], "/init");
    return cli_call_and_say(cli, "POST", path, body, "Datastore %s has its identity.", argv[1]);
}
