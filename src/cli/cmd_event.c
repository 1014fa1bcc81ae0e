/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"

/* What an event says, in words; every kind has its own document. */
static char *event_text(const char *kind, JsonObject *event)
{
    JsonObject *document = cli_object(event, "document");
    if (!strcmp(kind, "task"))
        return g_strdup_printf("%s: %s from %s to %s: %s, %s", cli_string(document, "task"),
                               cli_string(document, "vm"), cli_string(document, "source"),
                               cli_string(document, "destination"), cli_string(document, "state"),
                               cli_string(document, "phase"));
    JsonObject *spec = cli_object(document, "spec");
    if (!strcmp(kind, "vm"))
        return g_strdup_printf("%s is %s on %s",
                               spec ? cli_string(spec, "name") : cli_string(document, "uuid"),
                               cli_string(document, "state"), cli_string(document, "host"));
    if (!strcmp(kind, "audit"))
        return g_strdup_printf("%s: %s", cli_string(document, "user"), cli_string(document, "text"));
    if (!strcmp(kind, "recovery"))
        return g_strdup_printf("%s on %s: %s", cli_string(document, "vm"), cli_string(document, "host"),
                               cli_string(document, "text"));
    return g_strdup_printf("%s is %s", cli_string(event, "subject"), cli_string(document, "state"));
}

static void print_event(JsonObject *event)
{
    const char *kind = cli_string(event, "kind");
    g_autofree char *text = event_text(kind, event);
    printf("%" G_GINT64_FORMAT "  %s  %-8s  %s\n", cli_number(event, "id"), cli_string(event, "time"), kind,
           text);
}

static int parse(int *argc, char ***argv, gint64 *since)
{
    const GOptionEntry entries[] = {
        {"since", 0, 0, G_OPTION_ARG_INT64, since, "only what came after the event with this id", "ID"},
        {NULL},
    };
    return cli_options(cli_current(), entries, 0, argc, argv);
}

static void show_event(struct table *table, JsonObject *event)
{
    (void)table;
    print_event(event);
}

int cmd_event_ls(struct cli *cli, int argc, char **argv)
{
    gint64 since = 0;
    if (parse(&argc, &argv, &since) < 0)
        return CLI_USAGE;
    g_autofree char *path = g_strdup_printf("/v1/events?since=%" G_GINT64_FORMAT, since);
    const struct cli_listing listing = {path, "events", NULL, show_event};
    return cli_list(cli, &listing);
}

static bool follow_event(const char *name, JsonObject *object, void *user)
{
    (void)name;
    struct cli *cli = user;
    if (cli->json) {
        /* A stream has no single document: one compact object a line. */
        g_autoptr(JsonNode) node = json_node_init_object(json_node_alloc(), object);
        g_autofree char *text = json_to_string(node, FALSE);
        puts(text);
    } else {
        print_event(object);
    }
    return fflush(stdout) == 0;
}

int cmd_event_follow(struct cli *cli, int argc, char **argv)
{
    gint64 since = 0;
    if (parse(&argc, &argv, &since) < 0)
        return CLI_USAGE;
    struct err err = {0};
    struct http_client *client = NULL;
    if (cli_connect(&client, &err) < 0)
        return cli_fail(cli, &err);
    g_autofree char *path = g_strdup_printf("/v1/events?since=%" G_GINT64_FORMAT, since);
    int result = http_client_events_sync(client, path, follow_event, cli, &err);
    http_client_free(client);
    return result < 0 ? cli_fail(cli, &err) : CLI_DONE;
}
