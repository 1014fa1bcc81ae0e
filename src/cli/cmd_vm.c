/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "cli/cli.h"
#include "cli/disk_text.h"
#include "model/vm.h"

static void add_vm_row(struct table *table, JsonObject *vm)
{
    JsonObject *spec = cli_object(vm, "spec");
    g_autofree char *memory = g_strdup_printf("%d", (int)cli_number(spec, "memory_mib"));
    g_autofree char *cpus = g_strdup_printf("%d", (int)cli_number(spec, "cpus"));
    JsonArray *owners = cli_array(vm, "conflict");
    bool is_disputed = owners && json_array_get_length(owners);
    table_row(table, cli_string(spec, "name"), is_disputed ? "owned twice" : cli_string(vm, "state"),
              cli_string(vm, "host"), memory, cpus, cli_string(vm, "accel"), cli_string(spec, "pool"),
              cli_string(vm, "move"), NULL);
}

int cmd_vm_ls(struct cli *cli, int argc, char **argv)
{
    if (cli_options(cli_current(), NULL, 0, &argc, &argv) < 0)
        return CLI_USAGE;
    static const char *const headings[] = {"NAME",  "STATE", "HOST", "MEMORY MIB", "CPUS",
                                           "ACCEL", "POOL",  "TASK", NULL};
    const struct cli_listing listing = {"/v1/vms", "vms", headings, add_vm_row};
    return cli_list(cli, &listing);
}

/* What of a specification was given; NULL and NOT_GIVEN: not. */
struct spec_options {
    char *name; /* a new one */
    int memory;
    int cpus;
    char *pool;
    int cpu_reservation;
    char *kernel;
    char *initrd;
    char *append;
    char *firmware;
    char *nvram;
    char **disks;
    char **networks;
    char *accel;
    char *machine;
    char *cpu_model;
    char *guest_agent;
    int notice_timeout;
    char *autostart;
    char *pinned;
    char *held_by;
    int hardware;
};

#define NOT_GIVEN G_MININT
#define SPEC_ROWS 19

/* The rows of an option table that `create` and `set` share. */
static void fill_spec_rows(GOptionEntry rows[SPEC_ROWS], struct spec_options *options)
{
    const GOptionEntry all[SPEC_ROWS] = {
        {"memory", 0, 0, G_OPTION_ARG_INT, &options->memory, "memory in MiB", "MIB"},
        {"cpus", 0, 0, G_OPTION_ARG_INT, &options->cpus, "virtual CPUs (1)", "N"},
        {"cpu-reservation", 0, 0, G_OPTION_ARG_INT, &options->cpu_reservation,
         "CPU kept free for it while it is on, 100 is one core (0)", "PERCENT"},
        {"kernel", 0, 0, G_OPTION_ARG_FILENAME, &options->kernel, "kernel to boot directly", "PATH"},
        {"initrd", 0, 0, G_OPTION_ARG_FILENAME, &options->initrd, "initial RAM disk", "PATH"},
        {"append", 0, 0, G_OPTION_ARG_STRING, &options->append, "kernel command line", "TEXT"},
        {"firmware", 0, 0, G_OPTION_ARG_STRING, &options->firmware,
         "what boots the disks: bios or uefi (bios)", "bios|uefi"},
        {"nvram", 0, 0, G_OPTION_ARG_FILENAME, &options->nvram,
         "file of the UEFI variables, on shared storage; made by the first start", "PATH"},
        {"disk", 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &options->disks,
         "image, on a datastore or by its path, qcow2 unless it ends in .raw or .iso or is a CD; may be "
         "repeated",
         "DATASTORE:FILE|PATH[,format=qcow2|raw][,bus=virtio-blk|virtio-scsi][,media=disk|cdrom]"},
        {"network", 0, 0, G_OPTION_ARG_STRING_ARRAY, &options->networks,
         "network of the host; may be repeated", "N"},
        {"accel", 0, 0, G_OPTION_ARG_STRING, &options->accel, "auto, kvm or tcg", "A"},
        {"machine", 0, 0, G_OPTION_ARG_STRING, &options->machine,
         "machine type, for hosts with different QEMUs the oldest one's (the newest of its first host)", "M"},
        {"cpu-model", 0, 0, G_OPTION_ARG_STRING, &options->cpu_model, "QEMU's name of a CPU model", "M"},
        {"guest-agent", 0, 0, G_OPTION_ARG_STRING, &options->guest_agent,
         "a port for qemu-guest-agent: yes or no (no)", "yes|no"},
        {"notice-timeout", 0, 0, G_OPTION_ARG_INT, &options->notice_timeout,
         "the guest is told of a migration and has so long to take note (0: it is not told)", "S"},
        {"autostart", 0, 0, G_OPTION_ARG_STRING, &options->autostart,
         "start it after a boot of its host: yes or no (no)", "yes|no"},
        {"pinned", 0, 0, G_OPTION_ARG_STRING, &options->pinned, "it is not migrated: yes or no (no)",
         "yes|no"},
        {"held-by", 0, 0, G_OPTION_ARG_STRING, &options->held_by,
         "who needs it to stay where it is, as a backup does; '' for nobody", "WHO"},
        {"hardware", 0, 0, G_OPTION_ARG_INT, &options->hardware,
         "version of its virtual hardware (the newest that its host knows)", "N"},
    };
    memcpy(rows, all, sizeof all);
}

static void spec_options_clear(struct spec_options *options)
{
    g_free(options->name);
    g_free(options->pool);
    g_free(options->kernel);
    g_free(options->initrd);
    g_free(options->append);
    g_free(options->firmware);
    g_free(options->nvram);
    g_strfreev(options->disks);
    g_strfreev(options->networks);
    g_free(options->accel);
    g_free(options->machine);
    g_free(options->cpu_model);
    g_free(options->autostart);
    g_free(options->guest_agent);
    g_free(options->pinned);
    g_free(options->held_by);
}

static void set_text(JsonObject *spec, const char *member, const char *text)
{
    if (text)
        json_object_set_string_member(spec, member, text);
}

/* An empty path stays one: it takes the file away. */
static void set_path(JsonObject *spec, const char *member, const char *path)
{
    g_autofree char *absolute = path && *path ? g_canonicalize_filename(path, NULL) : g_strdup(path);
    set_text(spec, member, absolute);
}

static JsonArray *disks_of(char **texts)
{
    JsonArray *disks = json_array_new();
    for (char **text = texts; *text; text++)
        if (**text)
            json_array_add_object_element(disks, disk_of_text(*text));
    return disks;
}

static JsonArray *nics_of(char **networks)
{
    JsonArray *nics = json_array_new();
    for (char **network = networks; *network; network++) {
        if (!**network)
            continue;
        JsonObject *nic = json_object_new();
        json_object_set_string_member(nic, "network", *network);
        json_array_add_object_element(nics, nic);
    }
    return nics;
}

static bool is_switch(const char *value)
{
    return !value || !strcmp(value, "yes") || !strcmp(value, "no");
}

/* -1: said why. */
static int check_texts(const struct spec_options *options)
{
    for (char **disk = options->disks; disk && *disk; disk++)
        if (disk_text_check(*disk))
            return -1;
    if (!is_switch(options->autostart))
        (void)cli_usage_error("--autostart must be yes or no, not '%s'", options->autostart);
    else if (!is_switch(options->guest_agent))
        (void)cli_usage_error("--guest-agent must be yes or no, not '%s'", options->guest_agent);
    else if (!is_switch(options->pinned))
        (void)cli_usage_error("--pinned must be yes or no, not '%s'", options->pinned);
    else
        return 0;
    return -1;
}

static void set_switch(JsonObject *spec, const char *member, const char *value)
{
    if (value)
        json_object_set_boolean_member(spec, member, !strcmp(value, "yes"));
}

/* Only what was given. */
static JsonObject *spec_of(const struct spec_options *options)
{
    JsonObject *spec = json_object_new();
    set_text(spec, "name", options->name);
    if (options->memory != NOT_GIVEN)
        json_object_set_int_member(spec, "memory_mib", options->memory);
    if (options->cpus != NOT_GIVEN)
        json_object_set_int_member(spec, "cpus", options->cpus);
    set_text(spec, "pool", options->pool);
    if (options->cpu_reservation != NOT_GIVEN)
        json_object_set_int_member(spec, "cpu_reservation_percent", options->cpu_reservation);
    set_path(spec, "kernel", options->kernel);
    set_path(spec, "initrd", options->initrd);
    set_text(spec, "append", options->append);
    set_text(spec, "firmware", options->firmware);
    set_path(spec, "nvram", options->nvram);
    set_text(spec, "accel", options->accel);
    set_text(spec, "machine", options->machine);
    set_text(spec, "cpu_model", options->cpu_model);
    if (options->disks)
        json_object_set_array_member(spec, "disks", disks_of(options->disks));
    if (options->networks)
        json_object_set_array_member(spec, "nics", nics_of(options->networks));
    set_switch(spec, "guest_agent", options->guest_agent);
    if (options->notice_timeout != NOT_GIVEN)
        json_object_set_int_member(spec, "notice_timeout_s", options->notice_timeout);
    set_switch(spec, "autostart", options->autostart);
    set_switch(spec, "pinned", options->pinned);
    set_text(spec, "held_by", options->held_by);
    if (options->hardware != NOT_GIVEN)
        json_object_set_int_member(spec, "hardware", options->hardware);
    return spec;
}

int cmd_vm_create(struct cli *cli, int argc, char **argv)
{
    auto_call(spec_options_clear) struct spec_options options = {.memory = NOT_GIVEN,
                                                                 .cpus = NOT_GIVEN,
                                                                 .cpu_reservation = NOT_GIVEN,
                                                                 .notice_timeout = NOT_GIVEN,
                                                                 .hardware = NOT_GIVEN};
    g_autofree char *host = NULL;
    g_autofree char *client_key = NULL;
    gboolean start = FALSE;
    GOptionEntry entries[SPEC_ROWS + 5] = {
        {"host", 0, 0, G_OPTION_ARG_STRING, &host, "the host it is registered on", "H"},
        {"pool", 0, 0, G_OPTION_ARG_STRING, &options.pool, "its resource pool (none)", "P"},
        {"client-key", 0, 0, G_OPTION_ARG_STRING, &client_key,
         "the same key always means the VM that was made with it", "KEY"},
        {"start", 0, 0, G_OPTION_ARG_NONE, &start, "power on at once", NULL},
    };
    fill_spec_rows(entries + 4, &options);
    if (cli_options(cli_current(), entries, 1, &argc, &argv) < 0 || check_texts(&options) < 0)
        return CLI_USAGE;
    if (options.memory == NOT_GIVEN)
        return cli_usage_error("--memory is needed, in MiB");
    if (!host)
        return cli_usage_error("--host is needed; 'godwit host ls' lists them");
    options.name = g_strdup(argv[1]);
    JsonObject *body = json_object_new();
    json_object_set_string_member(body, "host", host);
    set_text(body, "client_key", client_key);
    json_object_set_object_member(body, "spec", spec_of(&options));
    if (!start)
        return cli_call_and_say(cli, "POST", "/v1/vms", body, "VM %s is registered on %s.", argv[1], host);
    g_autoptr(JsonObject) answer = NULL;
    int result = cli_call(cli, "POST", "/v1/vms", body, &answer);
    if (result)
        return result;
    g_autofree char *path = cli_path("/v1/vms/", argv[1], "/start");
    return cli_call_and_say(cli, "POST", path, NULL, "VM %s runs on %s.", argv[1], host);
}

int cmd_vm_set(struct cli *cli, int argc, char **argv)
{
    auto_call(spec_options_clear) struct spec_options options = {.memory = NOT_GIVEN,
                                                                 .cpus = NOT_GIVEN,
                                                                 .cpu_reservation = NOT_GIVEN,
                                                                 .notice_timeout = NOT_GIVEN,
                                                                 .hardware = NOT_GIVEN};
    GOptionEntry entries[SPEC_ROWS + 2] = {
        {"name", 0, 0, G_OPTION_ARG_STRING, &options.name, "a new name", "N"},
    };
    fill_spec_rows(entries + 1, &options);
    if (cli_options(cli_current(), entries, 1, &argc, &argv) < 0 || check_texts(&options) < 0)
        return CLI_USAGE;
    g_autoptr(JsonObject) changes = spec_of(&options);
    if (!json_object_get_size(changes))
        return cli_usage_error("nothing to change was named: give at least one option");
    g_autofree char *path = cli_path("/v1/vms/", argv[1], "");
    return cli_call_and_say(cli, "PATCH", path, json_object_ref(changes), "VM %s is changed.",
                            options.name ? options.name : argv[1]);
}

int cmd_vm_rm(struct cli *cli, int argc, char **argv)
{
    if (cli_options(cli_current(), NULL, 1, &argc, &argv) < 0)
        return CLI_USAGE;
    g_autofree char *path = cli_path("/v1/vms/", argv[1], "");
    return cli_call_and_say(cli, "DELETE", path, NULL, "VM %s is unregistered; its disks are kept.", argv[1]);
}

int cmd_vm_start(struct cli *cli, int argc, char **argv)
{
    if (cli_options(cli_current(), NULL, 1, &argc, &argv) < 0)
        return CLI_USAGE;
    g_autofree char *path = cli_path("/v1/vms/", argv[1], "/start");
    return cli_call_and_say(cli, "POST", path, NULL, "VM %s runs.", argv[1]);
}

int cmd_vm_stop(struct cli *cli, int argc, char **argv)
{
    gboolean force = FALSE;
    int timeout_s = 60;
    const GOptionEntry entries[] = {
        {"force", 0, 0, G_OPTION_ARG_NONE, &force, "power off without asking the guest", NULL},
        {"timeout", 0, 0, G_OPTION_ARG_INT, &timeout_s, "seconds the guest has before it is powered off (60)",
         "S"},
        {NULL},
    };
    if (cli_options(cli_current(), entries, 1, &argc, &argv) < 0)
        return CLI_USAGE;
    if (timeout_s < 1 || timeout_s > 150)
        return cli_usage_error("--timeout must be from 1 to 150 seconds, not %d", timeout_s);
    JsonObject *body = json_object_new();
    json_object_set_boolean_member(body, "force", force);
    json_object_set_int_member(body, "timeout_s", timeout_s);
    g_autofree char *path = cli_path("/v1/vms/", argv[1], "/stop");
    return cli_call_and_say(cli, "POST", path, body, "VM %s is off.", argv[1]);
}

int cmd_vm_balloon(struct cli *cli, int argc, char **argv)
{
    gint64 target_mib;
    if (cli_options(cli_current(), NULL, 2, &argc, &argv) < 0)
        return CLI_USAGE;
    if (!g_ascii_string_to_signed(argv[2], 10, 1, G_MAXUINT32, &target_mib, NULL))
        return cli_usage_error("the memory must be a whole number of MiB, not '%s'", argv[2]);
    JsonObject *body = json_object_new();
    json_object_set_int_member(body, "target_mib", target_mib);
    g_autofree char *path = cli_path("/v1/vms/", argv[1], "/balloon");
    return cli_call_and_say(cli, "POST", path, body, "The guest of %s is asked to do with %s MiB.", argv[1],
                            argv[2]);
}
