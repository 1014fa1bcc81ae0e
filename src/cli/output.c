/* SPDX-License-Identifier: Apache-2.0 */
/* What commands say, and their calls to the manager. */
#include <stdarg.h>
#include <stdio.h>

#include "cli/cli.h"
#include "model/move.h"

int cli_usage_error(const char *format, ...)
{
    const struct cli_command *command = cli_current();
    va_list args;
    va_start(args, format);
    fputs("godwit: ", stderr);
    vfprintf(stderr, format, args);
    va_end(args);
    fprintf(stderr, "\nusage: godwit %s%s%s %s\n", command->group, command->name ? " " : "",
            command->name ? command->name : "", command->usage);
    return CLI_USAGE;
}

int cli_options(const struct cli_command *command, const GOptionEntry *entries, int n_words, int *argc,
                char ***argv)
{
    g_autoptr(GOptionContext) context = g_option_context_new(NULL);
    g_autoptr(GError) error = NULL;
    g_autofree char *summary = g_strdup_printf("godwit %s%s%s %s", command->group, command->name ? " " : "",
                                               command->name ? command->name : "", command->usage);
    g_option_context_set_summary(context, summary);
    if (entries)
        g_option_context_add_main_entries(context, entries, NULL);
    if (!g_option_context_parse(context, argc, argv, &error)) {
        (void)cli_usage_error("%s", error->message);
        return -1;
    }
    if (n_words >= 0 && *argc - 1 != n_words) {
        (void)cli_usage_error("expected %d argument%s, got %d", n_words, n_words == 1 ? "" : "s", *argc - 1);
        return -1;
    }
    return 0;
}

void cli_print_json(JsonObject *object)
{
    g_autofree char *text = model_print(object, true);
    puts(text);
}

void cli_print_error(FILE *to, const char *indent, const char *severity, const struct err *err)
{
    fprintf(to, "%s%s: %s\n", indent, severity, err->message);
    if (err->phase[0])
        fprintf(to, "%s  phase: %s%s%s%s\n", indent, err->phase, err->side[0] ? " (" : "", err->side,
                err->side[0] ? ")" : "");
    if (err->cause[0])
        fprintf(to, "%s  cause: %s\n", indent, err->cause);
    if (err->fix[0])
        fprintf(to, "%s  fix:   %s\n", indent, err->fix);
}

int cli_fail(struct cli *cli, const struct err *err)
{
    if (cli->json) {
        g_autoptr(JsonObject) document = model_error_to_json(err);
        cli_print_json(document);
        return CLI_FAILED;
    }
    cli_print_error(stderr, "", "error", err);
    return CLI_FAILED;
}

int cli_ask(const char *method, const char *path, JsonObject *body, JsonObject **ret_object, struct err *err)
{
    struct http_client *client = NULL;
    if (cli_connect(&client, err) < 0) {
        if (body)
            json_object_unref(body);
        return -1;
    }
    int result = http_client_call_sync(client, &(struct http_call){method, path, body, 180}, ret_object, err);
    http_client_free(client);
    return result;
}

int cli_call(struct cli *cli, const char *method, const char *path, JsonObject *body, JsonObject **ret_object)
{
    struct err err = {0};
    JsonObject *object = NULL;
    int result = cli_ask(method, path, body, &object, &err);
    *ret_object = object || result < 0 ? object : json_object_new();
    return result < 0 ? cli_fail(cli, &err) : 0;
}

int cli_call_and_say(struct cli *cli, const char *method, const char *path, JsonObject *body,
                     const char *format, ...)
{
    g_autoptr(JsonObject) object = NULL;
    int result = cli_call(cli, method, path, body, &object);
    if (result)
        return result;
    if (cli->json) {
        cli_print_json(object);
        return CLI_DONE;
    }
    va_list args;
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    putchar('\n');
    return CLI_DONE;
}

int cli_list(struct cli *cli, const struct cli_listing *listing)
{
    g_autoptr(JsonObject) answer = NULL;
    int result = cli_call(cli, "GET", listing->path, NULL, &answer);
    if (result)
        return result;
    if (cli->json) {
        cli_print_json(answer);
        return CLI_DONE;
    }
    struct table *table = listing->headings ? table_new(listing->headings) : NULL;
    JsonArray *elements = cli_array(answer, listing->member);
    for (guint i = 0; elements && i < json_array_get_length(elements); i++)
        listing->show(table, json_array_get_object_element(elements, i));
    if (table)
        table_print(table);
    return CLI_DONE;
}

char *cli_path(const char *prefix, const char *name, const char *suffix)
{
    g_autofree char *escaped = g_uri_escape_string(name, NULL, FALSE);
    return g_strconcat(prefix, escaped, suffix, NULL);
}

static JsonNode *member_of(JsonObject *object, const char *member)
{
    return object && json_object_has_member(object, member) ? json_object_get_member(object, member) : NULL;
}

const char *cli_string(JsonObject *object, const char *member)
{
    JsonNode *node = member_of(object, member);
    const char *text = node && JSON_NODE_HOLDS_VALUE(node) ? json_node_get_string(node) : NULL;
    return text ? text : "";
}

gint64 cli_number(JsonObject *object, const char *member)
{
    JsonNode *node = member_of(object, member);
    return node && JSON_NODE_HOLDS_VALUE(node) ? json_node_get_int(node) : 0;
}

double cli_real(JsonObject *object, const char *member)
{
    JsonNode *node = member_of(object, member);
    return node && JSON_NODE_HOLDS_VALUE(node) ? json_node_get_double(node) : 0;
}

JsonObject *cli_object(JsonObject *object, const char *member)
{
    JsonNode *node = member_of(object, member);
    return node && JSON_NODE_HOLDS_OBJECT(node) ? json_node_get_object(node) : NULL;
}

JsonArray *cli_array(JsonObject *object, const char *member)
{
    JsonNode *node = member_of(object, member);
    return node && JSON_NODE_HOLDS_ARRAY(node) ? json_node_get_array(node) : NULL;
}
