/* SPDX-License-Identifier: Apache-2.0 */
/* Disks of a VM: "godwit vm disk VERB V …". */
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "cli/cli.h"
#include "cli/disk_text.h"
#include "model/move.h"

/* A copy takes its time; the agent has a limit of its own. */
#define MAKE_TIMEOUT_S (8 * 60 * 60)

/* "/v1/vms/V/disks", or "/v1/vms/V/disks/DISK/VERB"; g_free. */
static char *path_of(const char *vm, const char *disk, const char *verb)
{
    g_autofree char *disks = cli_path("/v1/vms/", vm, "/disks");
    if (!disk)
        return g_steal_pointer(&disks);
    g_autofree char *prefix = g_strconcat(disks, "/", NULL);
    g_autofree char *suffix = g_strconcat("/", verb, NULL);
    return cli_path(prefix, disk, suffix);
}

/* "shared:web.qcow2", or the path; g_free. */
static char *label_of(JsonObject *disk)
{
    const char *datastore = cli_string(disk, "datastore");
    return *datastore ? g_strdup_printf("%s:%s", datastore, cli_string(disk, "file"))
                      : g_strdup(cli_string(disk, "path"));
}

/* ---- ls ---- */

static char *chain_text(JsonArray *files)
{
    GString *text = g_string_new(NULL);
    for (guint i = 0; files && i < json_array_get_length(files); i++)
        g_string_append_printf(text, "%s%s", i ? " < " : "", json_array_get_string_element(files, i));
    return g_string_free(text, FALSE);
}

static void add_row(struct table *table, JsonObject *disk)
{
    g_autofree char *label = label_of(disk);
    bool is_empty = !*label;
    g_autofree char *size = size_text(cli_number(disk, "size_bytes"));
    g_autofree char *allocated = size_text(cli_number(disk, "allocated_bytes"));
    g_autofree char *chain = chain_text(cli_array(disk, "backing"));
    table_row(table, cli_string(disk, "name"), is_empty ? "empty" : label,
              is_empty ? "" : cli_string(disk, "format"), is_empty ? "" : size, is_empty ? "" : allocated,
              cli_string(disk, "bus"), cli_string(disk, "media"), chain, cli_string(disk, "problem"), NULL);
}

static int list(struct cli *cli, int argc, char **argv)
{
    if (cli_options(cli_current(), NULL, 2, &argc, &argv) < 0)
        return CLI_USAGE;
    static const char *const headings[] = {"DISK", "IMAGE", "FORMAT",   "SIZE",    "ALLOCATED",
                                           "BUS",  "MEDIA", "BUILT ON", "PROBLEM", NULL};
    g_autofree char *path = path_of(argv[2], NULL, NULL);
    const struct cli_listing listing = {path, "disks", headings, add_row};
    return cli_list(cli, &listing);
}

/* ---- create and attach ---- */

static int ask_patiently(const char *path, JsonObject *body, JsonObject **ret_answer, struct err *err)
{
    struct http_client *client = NULL;
    if (cli_connect(&client, err) < 0) {
        json_object_unref(body);
        return -1;
    }
    int result = http_client_call_sync(client, &(struct http_call){"POST", path, body, MAKE_TIMEOUT_S},
                                       ret_answer, err);
    http_client_free(client);
    return result;
}

static void print_warnings(JsonArray *warnings)
{
    for (guint i = 0; warnings && i < json_array_get_length(warnings); i++) {
        struct err err;
        model_error_from_json(json_array_get_object_element(warnings, i), &err);
        cli_print_error(stderr, "", "warning", &err);
    }
}

/* The last disk of the list is the one that came. */
static void print_added(const char *vm, const char *what, JsonObject *answer)
{
    JsonArray *disks = cli_array(cli_object(answer, "spec"), "disks");
    guint n = disks ? json_array_get_length(disks) : 0;
    if (!n)
        return;
    JsonObject *disk = json_array_get_object_element(disks, n - 1);
    gint64 slot = cli_number(disk, "slot");
    g_autofree char *label = label_of(disk);
    printf("%s is %s to %s as disk%d.\n", label, what, vm, (int)(slot ? slot : n) - 1);
}

static int add(struct cli *cli, const char *vm, JsonObject *wish, const char *what)
{
    g_autofree char *path = path_of(vm, NULL, NULL);
    g_autoptr(JsonObject) answer = NULL;
    struct err err = {0};
    if (ask_patiently(path, wish, &answer, &err) < 0)
        return cli_fail(cli, &err);
    if (cli->json && answer)
        cli_print_json(answer);
    else if (answer)
        print_added(vm, what, answer);
    if (!cli->json && answer)
        print_warnings(cli_array(answer, "warnings"));
    return CLI_DONE;
}

/* "virtio" and "scsi" are short for the buses' names. */
static void set_bus(JsonObject *disk, const char *bus)
{
    json_object_set_string_member(disk, "bus",
                                  !strcmp(bus, "virtio") ? "virtio-blk"
                                  : !strcmp(bus, "scsi") ? "virtio-scsi"
                                                         : bus);
}

struct creation {
    char *datastore;
    char *file;
    char *size;
    char *format;
    char *from;
    char *backing;
    char *bus;
};

static void creation_clear(struct creation *creation)
{
    g_free(creation->datastore);
    g_free(creation->file);
    g_free(creation->size);
    g_free(creation->format);
    g_free(creation->from);
    g_free(creation->backing);
    g_free(creation->bus);
}

static JsonObject *wish_of(const struct creation *creation, gint64 size_bytes)
{
    JsonObject *wish = json_object_new(), *disk = json_object_new(), *create = json_object_new();
    json_object_set_string_member(disk, "datastore", creation->datastore);
    json_object_set_string_member(disk, "file", creation->file ? creation->file : "");
    bool is_raw = creation->file && g_str_has_suffix(creation->file, ".raw");
    json_object_set_string_member(disk, "format",
                                  creation->format ? creation->format
                                  : is_raw         ? "raw"
                                                   : "qcow2");
    if (creation->bus)
        set_bus(disk, creation->bus);
    if (size_bytes)
        json_object_set_int_member(create, "size_bytes", size_bytes);
    if (creation->from)
        json_object_set_object_member(create, "from", disk_of_text(creation->from));
    if (creation->backing)
        json_object_set_object_member(create, "backing", disk_of_text(creation->backing));
    json_object_set_object_member(wish, "disk", disk);
    json_object_set_object_member(wish, "create", create);
    return wish;
}

static int create(struct cli *cli, int argc, char **argv)
{
    auto_call(creation_clear) struct creation creation = {0};
    gint64 size_bytes = 0;
    const GOptionEntry entries[] = {
        {"datastore", 0, 0, G_OPTION_ARG_STRING, &creation.datastore, "where the image is made", "D"},
        {"file", 0, 0, G_OPTION_ARG_FILENAME, &creation.file,
         "its name on the datastore (made of the VM's name and the disk's)", "F"},
        {"size", 0, 0, G_OPTION_ARG_STRING, &creation.size,
         "what the guest sees, 10G; may be left out with --from and --backing", "SIZE"},
        {"format", 0, 0, G_OPTION_ARG_STRING, &creation.format, "qcow2 or raw (qcow2)", "F"},
        {"from", 0, 0, G_OPTION_ARG_STRING, &creation.from, "a full copy of that image", "D:FILE"},
        {"backing", 0, 0, G_OPTION_ARG_STRING, &creation.backing,
         "a linked clone of that image on the same datastore, which must then never change", "D:FILE"},
        {"bus", 0, 0, G_OPTION_ARG_STRING, &creation.bus,
         "virtio-scsi or virtio-blk, which cannot come while the VM is on (virtio-scsi)", "B"},
        {NULL},
    };
    if (cli_options(cli_current(), entries, 2, &argc, &argv) < 0)
        return CLI_USAGE;
    if (!creation.datastore)
        return cli_usage_error("--datastore is needed; 'godwit datastore ls' lists them");
    if (creation.from && creation.backing)
        return cli_usage_error("--from makes a full copy and --backing a linked clone: give one of them");
    if (!creation.size && !creation.from && !creation.backing)
        return cli_usage_error("--size is needed unless the disk is made from another image");
    if (creation.size && size_of_text(creation.size, &size_bytes) < 0)
        return cli_usage_error("--size must be a number with K, M, G or T, as 10G, not '%s'", creation.size);
    return add(cli, argv[2], wish_of(&creation, size_bytes), "made and attached");
}

static int attach(struct cli *cli, int argc, char **argv)
{
    g_autofree char *bus = NULL;
    const GOptionEntry entries[] = {
        {"bus", 0, 0, G_OPTION_ARG_STRING, &bus,
         "virtio-scsi or virtio-blk, which cannot come while the VM is on (virtio-scsi)", "B"},
        {NULL},
    };
    if (cli_options(cli_current(), entries, 3, &argc, &argv) < 0)
        return CLI_USAGE;
    if (disk_text_check(argv[3]))
        return CLI_USAGE;
    JsonObject *wish = json_object_new(), *disk = disk_of_text(argv[3]);
    if (bus)
        set_bus(disk, bus);
    json_object_set_object_member(wish, "disk", disk);
    return add(cli, argv[2], wish, "attached");
}

/* ---- the others ---- */

static int detach(struct cli *cli, int argc, char **argv)
{
    gboolean deletes_file = FALSE;
    const GOptionEntry entries[] = {
        {"delete", 0, 0, G_OPTION_ARG_NONE, &deletes_file, "delete the image too", NULL},
        {NULL},
    };
    if (cli_options(cli_current(), entries, 3, &argc, &argv) < 0)
        return CLI_USAGE;
    JsonObject *body = json_object_new();
    json_object_set_boolean_member(body, "delete_file", deletes_file);
    g_autofree char *path = path_of(argv[2], argv[3], "detach");
    return cli_call_and_say(cli, "POST", path, body, "%s is detached from %s%s.", argv[3], argv[2],
                            deletes_file ? ", and deleted" : "; its image is kept");
}

static int resize(struct cli *cli, int argc, char **argv)
{
    g_autofree char *size = NULL;
    gint64 size_bytes;
    const GOptionEntry entries[] = {
        {"size", 0, 0, G_OPTION_ARG_STRING, &size, "more than now, 20G", "SIZE"},
        {NULL},
    };
    if (cli_options(cli_current(), entries, 3, &argc, &argv) < 0)
        return CLI_USAGE;
    if (!size || size_of_text(size, &size_bytes) < 0)
        return cli_usage_error("--size is needed: a number with K, M, G or T, as 20G");
    JsonObject *body = json_object_new();
    json_object_set_int_member(body, "size_bytes", size_bytes);
    g_autofree char *path = path_of(argv[2], argv[3], "resize");
    return cli_call_and_say(cli, "POST", path, body, "%s of %s has %s.", argv[3], argv[2], size);
}

#define FORCE_ROW                                                                                            \
    {                                                                                                        \
        "force", 0, 0, G_OPTION_ARG_NONE, &force, "although the guest has locked the drive", NULL            \
    }

static int eject(struct cli *cli, int argc, char **argv)
{
    gboolean force = FALSE;
    const GOptionEntry entries[] = {FORCE_ROW, {NULL}};
    if (cli_options(cli_current(), entries, 3, &argc, &argv) < 0)
        return CLI_USAGE;
    JsonObject *body = json_object_new();
    json_object_set_boolean_member(body, "force", force);
    g_autofree char *path = path_of(argv[2], argv[3], "eject");
    return cli_call_and_say(cli, "POST", path, body, "%s of %s is empty.", argv[3], argv[2]);
}

static int insert(struct cli *cli, int argc, char **argv)
{
    gboolean force = FALSE;
    const GOptionEntry entries[] = {FORCE_ROW, {NULL}};
    if (cli_options(cli_current(), entries, 4, &argc, &argv) < 0)
        return CLI_USAGE;
    g_autofree char *text = g_strdup_printf("%s,media=cdrom", argv[4]);
    JsonObject *body = json_object_new();
    json_object_set_object_member(body, "medium", disk_of_text(text));
    json_object_set_boolean_member(body, "force", force);
    g_autofree char *path = path_of(argv[2], argv[3], "insert");
    return cli_call_and_say(cli, "POST", path, body, "%s is in %s of %s.", argv[4], argv[3], argv[2]);
}

int cmd_vm_disk(struct cli *cli, int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run)(struct cli *cli, int argc, char **argv);
    } verbs[] = {{"ls", list},       {"create", create}, {"attach", attach}, {"detach", detach},
                 {"resize", resize}, {"eject", eject},   {"insert", insert}};
    const char *verb = argc > 1 ? argv[1] : "";
    for (size_t i = 0; i < G_N_ELEMENTS(verbs); i++)
        if (!strcmp(verb, verbs[i].name))
            return verbs[i].run(cli, argc, argv);
    if (!strcmp(verb, "--help") || !strcmp(verb, "-h"))
        return cli_options(cli_current(), NULL, -1, &argc, &argv) < 0 ? CLI_USAGE : CLI_DONE;
    return cli_usage_error(
        "what to do is one of ls, create, attach, detach, resize, eject and insert, not '%s'", verb);
}
