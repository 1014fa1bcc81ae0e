/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/disk_text.h"

#include <string.h>

#include "cli/cli.h"
#include "model/vm.h"

/* Takes ",format=F", ",bus=B" and ",media=M" from the end; a path may hold commas as well. */
static void take_options(char *text, JsonObject *disk)
{
    static const char *const names[] = {"format", "bus", "media"};
    char *comma;
    bool is_taken = true;
    while (is_taken && (comma = strrchr(text, ','))) {
        is_taken = false;
        for (size_t i = 0; i < G_N_ELEMENTS(names) && !is_taken; i++) {
            size_t length = strlen(names[i]);
            is_taken = !strncmp(comma + 1, names[i], length) && comma[1 + length] == '=';
            if (is_taken)
                json_object_set_string_member(disk, names[i], comma + length + 2);
        }
        if (is_taken)
            *comma = '\0';
    }
}

int disk_text_check(const char *text)
{
    static const char *const names[] = {"aio",    "cache",  "detect-zeroes", "discard",  "if",    "index",
                                        "rerror", "serial", "snapshot",      "readonly", "werror"};
    const char *comma = strrchr(text, ',');
    for (size_t i = 0; comma && i < G_N_ELEMENTS(names); i++) {
        size_t length = strlen(names[i]);
        if (strncmp(comma + 1, names[i], length) != 0 || comma[1 + length] != '=')
            continue;
        if (i < 2)
            return cli_usage_error(
                "a disk has no %s=: all go through the host's page cache, for what a device writes past it "
                "(O_DIRECT) a move would lose; leave it out",
                names[i]);
        return cli_usage_error("a disk has no %s=, only format=, bus= and media=", names[i]);
    }
    return CLI_DONE;
}

static bool is_raw(const char *where, JsonObject *disk)
{
    return g_str_has_suffix(where, ".raw") || g_str_has_suffix(where, ".iso") ||
           !strcmp(cli_string(disk, "media"), "cdrom");
}

JsonObject *disk_of_text(const char *text)
{
    JsonObject *disk = json_object_new();
    g_autofree char *where = g_strdup(text);
    take_options(where, disk);
    if (!json_object_has_member(disk, "format"))
        json_object_set_string_member(disk, "format", is_raw(where, disk) ? "raw" : "qcow2");
    char *colon = strchr(where, ':');
    g_autofree char *store = g_strndup(where, colon ? (gsize)(colon - where) : 0);
    if (model_name_is_valid(store)) {
        json_object_set_string_member(disk, "datastore", store);
        json_object_set_string_member(disk, "file", colon + 1);
        return disk;
    }
    /* An empty path stays one: it takes the file away. */
    g_autofree char *path = *where ? g_canonicalize_filename(where, NULL) : g_strdup("");
    json_object_set_string_member(disk, "path", path);
    return disk;
}

int size_of_text(const char *text, gint64 *ret_bytes)
{
    static const char units[] = "KMGT";
    char *end;
    double number = g_ascii_strtod(text, &end);
    if (end == text || number <= 0)
        return -1;
    const char *unit = *end ? strchr(units, g_ascii_toupper(*end)) : NULL;
    for (const char *at = units; unit && at <= unit; at++)
        number *= 1024;
    end += unit ? 1 : 0;
    bool is_whole = number < 9e18 && number == (double)(gint64)number;
    *ret_bytes = is_whole ? (gint64)number : 0;
    return *end || !is_whole ? -1 : 0;
}

char *size_text(gint64 bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
    double size = (double)bytes;
    unsigned unit = 0;
    for (; size >= 1024 && unit + 1 < G_N_ELEMENTS(units); unit++)
        size /= 1024;
    return g_strdup_printf("%.*f %s", unit ? 1 : 0, size, units[unit]);
}
