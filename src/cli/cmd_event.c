/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "cli/query.h"
#include "model/json.h"

#define FILTERS                                                                                              \
    {"vm", "of this VM: its name then, or its UUID", "V", NULL},                                             \
        {"host", "on this host, or of migrations from or to it", "H", NULL},                                 \
        {"task", "of this task", "T", NULL}, {"type", "of this type, see 'event types'", "TYPE", NULL},      \
        {"severity", "as grave as that, or graver: info, warning, error", "S", NULL},                        \
        {"user", "by this user", "U", NULL},                                                                 \
    {                                                                                                        \
        "since", "after the event with this id, or from this time on", "ID|TIME", NULL                       \
    }

/* The text is the manager's, the same for everyone. */
static void print_event(JsonObject *event)
{
    printf("%" G_GINT64_FORMAT "  %s  %-7s  %s  %s\n", cli_number(event, "id"), cli_string(event, "time"),
           cli_string(event, "severity"), cli_string(event, "type"), cli_string(event, "text"));
}

static void print_events(JsonArray *events)
{
    for (guint i = 0; events && i < json_array_get_length(events); i++)
        print_event(json_array_get_object_element(events, i));
}

static gint64 id_at(JsonArray *events, guint index)
{
    return cli_number(json_array_get_object_element(events, index), "id");
}

/* Which way is the rest? */
static void say_more(const char *path, JsonArray *events)
{
    bool is_forward = strstr(path, "since=") != NULL;
    guint n = json_array_get_length(events);
    if (n)
        fprintf(stderr, "there are more %s these: --%s %" G_GINT64_FORMAT "\n",
                is_forward ? "after" : "before", is_forward ? "since" : "before",
                id_at(events, is_forward ? n - 1 : 0));
}

int cmd_event_ls(struct cli *cli, int argc, char **argv)
{
    static const struct query_field fields[] = {
        FILTERS,
        {"until", "up to this time", "TIME", NULL},
        {"before", "before the event with this id", "ID", NULL},
        {"limit", "so many: the newest of those that match, or with --since the first (100)", "N", "100"},
        {NULL},
    };
    g_autofree char *path = query_path("/v1/events", fields, &argc, &argv);
    g_autoptr(JsonObject) answer = NULL;
    if (!path)
        return CLI_USAGE;
    int result = cli_call(cli, "GET", path, NULL, &answer);
    if (result)
        return result;
    if (cli->json) {
        cli_print_json(answer);
        return CLI_DONE;
    }
    JsonArray *events = cli_array(answer, "events");
    print_events(events);
    if (events && model_flag(answer, "more"))
        say_more(path, events);
    return CLI_DONE;
}

static bool show(struct cli *cli, JsonObject *event)
{
    if (cli->json) {
        /* A stream has no single document: one compact object a line. */
        g_autoptr(JsonNode) node = json_node_init_object(json_node_alloc(), event);
        g_autofree char *text = json_to_string(node, FALSE);
        puts(text);
    } else {
        print_event(event);
    }
    return fflush(stdout) == 0;
}

static bool follow_event(const char *name, JsonObject *event, void *user)
{
    (void)name;
    return show(user, event);
}

/* Shows the last few that match; the stream begins after them. */
static int show_last(struct cli *cli, const char *path, char **ret_path)
{
    g_autofree char *last = query_with(path, "limit", "10");
    g_autoptr(JsonObject) answer = NULL;
    int result = cli_call(cli, "GET", last, NULL, &answer);
    if (result)
        return result;
    JsonArray *events = cli_array(answer, "events");
    guint n = events ? json_array_get_length(events) : 0;
    for (guint i = 0; i < n; i++)
        (void)show(cli, json_array_get_object_element(events, i));
    g_autofree char *id = g_strdup_printf("%" G_GINT64_FORMAT, n ? id_at(events, n - 1) : 0);
    *ret_path = query_with(path, "since", id);
    return 0;
}

int cmd_event_follow(struct cli *cli, int argc, char **argv)
{
    static const struct query_field fields[] = {FILTERS, {NULL}};
    g_autofree char *path = query_path("/v1/events", fields, &argc, &argv);
    struct err err = {0};
    struct http_client *client = NULL;
    if (!path)
        return CLI_USAGE;
    if (!strstr(path, "since=")) {
        g_autofree char *whole = g_steal_pointer(&path);
        int result = show_last(cli, whole, &path);
        if (result)
            return result;
    }
    if (cli_connect(&client, &err) < 0)
        return cli_fail(cli, &err);
    int result = http_client_events_sync(client, path, follow_event, cli, &err);
    http_client_free(client);
    return result < 0 ? cli_fail(cli, &err) : CLI_DONE;
}

static void add_type(struct table *table, JsonObject *type)
{
    table_row(table, cli_string(type, "type"), cli_string(type, "severity"), cli_string(type, "kind"),
              cli_string(type, "text"), NULL);
}

int cmd_event_types(struct cli *cli, int argc, char **argv)
{
    static const char *const headings[] = {"TYPE", "SEVERITY", "ABOUT", "TEXT", NULL};
    if (cli_options(cli_current(), NULL, 0, &argc, &argv) < 0)
        return CLI_USAGE;
    return cli_list(cli, &(struct cli_listing){"/v1/event-types", "types", headings, add_type});
}
