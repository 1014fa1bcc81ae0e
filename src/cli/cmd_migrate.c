/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "base/cleanup.h"
#include "cli/cli.h"
#include "cli/follow.h"
#include "cli/forecast.h"

/* No value that an operator could mean; the manager refuses it as it refuses other numbers out of range. */
#define NOT_GIVEN G_MININT

struct migrate_options {
    char *to;
    char *pool;
    char *datastore;
    gboolean detach;
    gboolean dry_run;
    gboolean verify;
    gboolean sync_clock;
    int bandwidth;
    int max_downtime;
    int switchover_limit;
    int stun_limit;
    int resume_limit;
    int channels;
    char *compression;
    char *delta;
    char *dirty_source;
    char *encryption;
    char *priority;
    char *client_key;
};

static void migrate_options_clear(struct migrate_options *options)
{
    g_free(options->to);
    g_free(options->pool);
    g_free(options->datastore);
    g_free(options->compression);
    g_free(options->delta);
    g_free(options->dirty_source);
    g_free(options->encryption);
    g_free(options->priority);
    g_free(options->client_key);
}

/* Only what the operator gave: the manager knows the defaults and the limits. */
static JsonObject *request_body(const char *vm, const struct migrate_options *options)
{
    JsonObject *wishes = json_object_new();
    if (options->bandwidth != NOT_GIVEN)
        json_object_set_int_member(wishes, "bandwidth_mb_s", options->bandwidth);
    if (options->max_downtime != NOT_GIVEN)
        json_object_set_int_member(wishes, "max_downtime_ms", options->max_downtime);
    if (options->switchover_limit != NOT_GIVEN)
        json_object_set_int_member(wishes, "switchover_limit_s", options->switchover_limit);
    if (options->stun_limit != NOT_GIVEN)
        json_object_set_int_member(wishes, "stun_limit_percent", options->stun_limit);
    if (options->resume_limit != NOT_GIVEN)
        json_object_set_int_member(wishes, "resume_limit_s", options->resume_limit);
    if (options->channels != NOT_GIVEN)
        json_object_set_int_member(wishes, "channels", options->channels);
    if (options->pool)
        json_object_set_string_member(wishes, "pool", options->pool);
    if (options->datastore)
        json_object_set_string_member(wishes, "datastore", options->datastore);
    if (options->sync_clock)
        json_object_set_boolean_member(wishes, "sync_clock", TRUE);
    if (options->verify)
        json_object_set_boolean_member(wishes, "verify", TRUE);
    if (options->compression)
        json_object_set_string_member(wishes, "compression", options->compression);
    if (options->delta)
        json_object_set_string_member(wishes, "delta", options->delta);
    if (options->encryption)
        json_object_set_string_member(wishes, "encryption", options->encryption);
    if (options->dirty_source)
        json_object_set_string_member(wishes, "dirty_source", options->dirty_source);
    if (options->priority)
        json_object_set_string_member(wishes, "priority", options->priority);
    JsonObject *body = json_object_new();
    json_object_set_string_member(body, "vm", vm);
    if (options->to)
        json_object_set_string_member(body, "destination", options->to);
    json_object_set_object_member(body, "options", wishes);
    if (options->client_key)
        json_object_set_string_member(body, "client_key", options->client_key);
    return body;
}

int cmd_vm_migrate(struct cli *cli, int argc, char **argv)
{
    auto_call(migrate_options_clear) struct migrate_options options = {.bandwidth = NOT_GIVEN,
                                                                       .max_downtime = NOT_GIVEN,
                                                                       .switchover_limit = NOT_GIVEN,
                                                                       .stun_limit = NOT_GIVEN,
                                                                       .resume_limit = NOT_GIVEN,
                                                                       .channels = NOT_GIVEN};
    const GOptionEntry entries[] = {
        {"to", 0, 0, G_OPTION_ARG_STRING, &options.to, "destination host (it stays on its own)", "H"},
        {"pool", 0, 0, G_OPTION_ARG_STRING, &options.pool,
         "its resource pool from then on; / for none (the same)", "P"},
        {"datastore", 0, 0, G_OPTION_ARG_STRING, &options.datastore,
         "its disks move to this datastore of the destination, or of its own host without --to (they stay on "
         "theirs)",
         "D"},
        {"dry-run", 0, 0, G_OPTION_ARG_NONE, &options.dry_run,
         "check and sample only, and say what the migration would be like", NULL},
        {"detach", 0, 0, G_OPTION_ARG_NONE, &options.detach, "print the task's id and do not wait", NULL},
        {"bandwidth", 0, 0, G_OPTION_ARG_INT, &options.bandwidth, "cap in MB/s", "MB/S"},
        {"max-downtime", 0, 0, G_OPTION_ARG_INT, &options.max_downtime, "downtime goal in ms (100)", "MS"},
        {"switchover-limit", 0, 0, G_OPTION_ARG_INT, &options.switchover_limit,
         "seconds after which a switch-over is taken back (100)", "S"},
        {"stun-limit", 0, 0, G_OPTION_ARG_INT, &options.stun_limit,
         "share of its time for which a guest that writes too fast may be held up, in percent (no limit)",
         "PERCENT"},
        {"resume-limit", 0, 0, G_OPTION_ARG_INT, &options.resume_limit,
         "seconds for which a copy waits for lost connections (60; at most 80)", "S"},
        {"channels", 0, 0, G_OPTION_ARG_INT, &options.channels, "data connections (chosen)", "N"},
        {"verify", 0, 0, G_OPTION_ARG_NONE, &options.verify,
         "compare checksums of the whole memory before the guest runs", NULL},
        {"sync-clock", 0, 0, G_OPTION_ARG_NONE, &options.sync_clock,
         "set the guest's clock to the destination's through its guest agent", NULL},
        {"compression", 0, 0, G_OPTION_ARG_STRING, &options.compression,
         "auto, off, lz4 or zstd (auto: where it is faster)", "C"},
        {"delta", 0, 0, G_OPTION_ARG_STRING, &options.delta,
         "on or off: changes of pages that are sent again (where the link is slow)", "D"},
        {"encryption", 0, 0, G_OPTION_ARG_STRING, &options.encryption,
         "disabled, opportunistic (the default: if both hosts can) or required", "MODE"},
        {"dirty-source", 0, 0, G_OPTION_ARG_STRING, &options.dirty_source, "auto, async or sync", "S"},
        {"priority", 0, 0, G_OPTION_ARG_STRING, &options.priority,
         "high or normal: what goes first where moves wait for each other (normal)", "P"},
        {"client-key", 0, 0, G_OPTION_ARG_STRING, &options.client_key,
         "the same key always means the first task that was made with it", "KEY"},
        {NULL},
    };
    if (cli_options(cli_current(), entries, 1, &argc, &argv) < 0)
        return CLI_USAGE;
    if (!options.to && !options.datastore)
        return cli_usage_error("--to is needed: the destination host ('godwit host ls' lists them), or "
                               "--datastore, to which its disks move while it stays");
    if (options.dry_run && (options.detach || options.client_key))
        return cli_usage_error("--dry-run makes no task: leave out --detach and --client-key");
    if (options.dry_run)
        return forecast_and_report(cli, request_body(argv[1], &options));
    if (!options.detach)
        follow_block_signals();
    g_autoptr(JsonObject) task = NULL;
    int result = cli_call(cli, "POST", "/v1/migrations", request_body(argv[1], &options), &task);
    if (result)
        return result;
    const char *id = cli_string(task, "task");
    if (!options.detach)
        return follow_and_report(cli, id, true);
    if (cli->json)
        cli_print_json(task);
    else
        printf("%s\n", id);
    return CLI_DONE;
}
