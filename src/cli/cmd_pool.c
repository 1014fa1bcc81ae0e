/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "base/cleanup.h"
#include "cli/cli.h"

/* No value that an operator could mean: the member is left out. */
#define NOT_GIVEN G_MININT

static char *number(JsonObject *pool, const char *member)
{
    JsonNode *node = json_object_get_member(pool, member);
    bool is_null = !node || JSON_NODE_HOLDS_NULL(node);
    return is_null ? g_strdup("") : g_strdup_printf("%" G_GINT64_FORMAT, cli_number(pool, member));
}

/* 0 means that there is none. */
static char *number_or_none(JsonObject *pool, const char *member)
{
    return cli_number(pool, member) ? number(pool, member) : g_strdup("");
}

static void add_pool_row(struct table *table, JsonObject *pool)
{
    g_autofree char *memory_reservation = number_or_none(pool, "memory_reservation_mib");
    g_autofree char *memory_limit = number_or_none(pool, "memory_limit_mib");
    g_autofree char *memory_used = number(pool, "memory_used_mib");
    g_autofree char *memory_available = number(pool, "memory_available_mib");
    g_autofree char *cpu_reservation = number_or_none(pool, "cpu_reservation_percent");
    g_autofree char *cpu_limit = number_or_none(pool, "cpu_limit_percent");
    g_autofree char *cpu_used = number(pool, "cpu_used_percent");
    g_autofree char *cpu_available = number(pool, "cpu_available_percent");
    g_autofree char *vms = number(pool, "n_vms");
    table_row(table, cli_string(pool, "path"), memory_reservation, memory_limit, memory_used,
              memory_available, cpu_reservation, cpu_limit, cli_string(pool, "cpu_shares"), cpu_used,
              cpu_available, vms, NULL);
}

int cmd_pool_ls(struct cli *cli, int argc, char **argv)
{
    if (cli_options(cli_current(), NULL, 0, &argc, &argv) < 0)
        return CLI_USAGE;
    static const char *const headings[] = {"POOL",  "MIB RESERVED", "LIMIT", "USED", "LEFT", "CPU% RESERVED",
                                           "LIMIT", "SHARES",       "USED",  "LEFT", "VMS",  NULL};
    const struct cli_listing listing = {"/v1/pools", "pools", headings, add_pool_row};
    return cli_list(cli, &listing);
}

int cmd_pool_show(struct cli *cli, int argc, char **argv)
{
    if (cli_options(cli_current(), NULL, 1, &argc, &argv) < 0)
        return CLI_USAGE;
    g_autofree char *path = cli_path("/v1/pools/", argv[1], "");
    return cli_show(cli, path);
}

struct pool_options {
    int memory_reservation;
    int memory_limit;
    int cpu_reservation;
    int cpu_limit;
    char *cpu_shares;
};

static void pool_options_clear(struct pool_options *options)
{
    g_free(options->cpu_shares);
}

static void set_number(JsonObject *body, const char *member, int value)
{
    if (value != NOT_GIVEN)
        json_object_set_int_member(body, member, value);
}

/* The members that were given; NULL: said why not. */
static JsonObject *read_options(int *argc, char ***argv)
{
    auto_call(pool_options_clear) struct pool_options options = {NOT_GIVEN, NOT_GIVEN, NOT_GIVEN, NOT_GIVEN,
                                                                 NULL};
    const GOptionEntry entries[] = {
        {"memory-reservation", 0, 0, G_OPTION_ARG_INT, &options.memory_reservation, "kept free for it (0)",
         "MIB"},
        {"memory-limit", 0, 0, G_OPTION_ARG_INT, &options.memory_limit, "all it may use; 0: no limit", "MIB"},
        {"cpu-reservation", 0, 0, G_OPTION_ARG_INT, &options.cpu_reservation,
         "kept free for it, 100 is one core (0)", "PERCENT"},
        {"cpu-limit", 0, 0, G_OPTION_ARG_INT, &options.cpu_limit, "all it may use; 0: no limit", "PERCENT"},
        {"cpu-shares", 0, 0, G_OPTION_ARG_STRING, &options.cpu_shares,
         "weight among its siblings: low, normal, high or a number (normal)", "S"},
        {NULL},
    };
    if (cli_options(cli_current(), entries, 1, argc, argv) < 0)
        return NULL;
    JsonObject *body = json_object_new();
    set_number(body, "memory_reservation_mib", options.memory_reservation);
    set_number(body, "memory_limit_mib", options.memory_limit);
    set_number(body, "cpu_reservation_percent", options.cpu_reservation);
    set_number(body, "cpu_limit_percent", options.cpu_limit);
    if (options.cpu_shares)
        json_object_set_string_member(body, "cpu_shares", options.cpu_shares);
    return body;
}

int cmd_pool_create(struct cli *cli, int argc, char **argv)
{
    JsonObject *body = read_options(&argc, &argv);
    if (!body)
        return CLI_USAGE;
    json_object_set_string_member(body, "path", argv[1]);
    return cli_call_and_say(cli, "POST", "/v1/pools", body, "Pool %s is there.", argv[1]);
}

int cmd_pool_set(struct cli *cli, int argc, char **argv)
{
    JsonObject *body = read_options(&argc, &argv);
    if (!body)
        return CLI_USAGE;
    g_autofree char *path = cli_path("/v1/pools/", argv[1], "");
    return cli_call_and_say(cli, "PATCH", path, body, "Pool %s is changed.", argv[1]);
}

int cmd_pool_rm(struct cli *cli, int argc, char **argv)
{
    if (cli_options(cli_current(), NULL, 1, &argc, &argv) < 0)
        return CLI_USAGE;
    g_autofree char *path = cli_path("/v1/pools/", argv[1], "");
    return cli_call_and_say(cli, "DELETE", path, NULL, "Pool %s is removed.", argv[1]);
}

int cmd_pool_assign(struct cli *cli, int argc, char **argv)
{
    if (cli_options(cli_current(), NULL, 2, &argc, &argv) < 0)
        return CLI_USAGE;
    JsonObject *body = json_object_new();
    json_object_set_string_member(body, "pool", argv[1]);
    g_autofree char *path = cli_path("/v1/vms/", argv[2], "/pool");
    return cli_call_and_say(cli, "POST", path, body, "VM %s is in pool %s.", argv[2], argv[1]);
}
