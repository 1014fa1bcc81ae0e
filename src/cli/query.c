/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/query.h"

#include <string.h>

char *query_with(const char *path, const char *name, const char *value)
{
    g_autofree char *escaped = g_uri_escape_string(value, NULL, FALSE);
    return g_strdup_printf("%s%c%s=%s", path, strchr(path, '?') ? '&' : '?', name, escaped);
}

char *query_path(const char *path, const struct query_field *fields, int *argc, char ***argv)
{
    char *values[QUERY_FIELDS_MAX] = {NULL};
    GOptionEntry entries[QUERY_FIELDS_MAX + 1] = {0};
    for (unsigned i = 0; fields[i].name; i++)
        entries[i] = (GOptionEntry){.long_name = fields[i].name,
                                    .arg = G_OPTION_ARG_STRING,
                                    .arg_data = &values[i],
                                    .description = fields[i].help,
                                    .arg_description = fields[i].value};
    char *whole = cli_options(cli_current(), entries, 0, argc, argv) < 0 ? NULL : g_strdup(path);
    for (unsigned i = 0; fields[i].name; i++) {
        const char *value = values[i] ? values[i] : fields[i].fallback;
        if (whole && value) {
            g_autofree char *shorter = whole;
            whole = query_with(shorter, fields[i].name, value);
        }
        g_free(values[i]);
    }
    return whole;
}
