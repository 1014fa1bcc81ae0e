/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "http/server.h"

/* The segment that begins at *at, URL-decoded; moves *at behind it. NULL if it is malformed. */
static char *next_segment(const char **at)
{
    const char *end = strchrnul(*at, '/');
    char *segment = g_uri_unescape_segment(*at, end, NULL);
    *at = end;
    return segment;
}

bool route_matches(const char *pattern, const char *path, GHashTable *params)
{
    while (*pattern == '/' && *path == '/') {
        pattern++;
        path++;
        size_t length = strcspn(pattern, "/");
        g_autofree char *segment = next_segment(&path);
        if (!segment)
            return false;
        if (pattern[0] == '{') {
            if (!*segment)
                return false;
            g_hash_table_insert(params, g_strndup(pattern + 1, length - 2), g_steal_pointer(&segment));
        } else if (strlen(segment) != length || memcmp(segment, pattern, length)) {
            return false;
        }
        pattern += length;
    }
    return !*pattern && !*path;
}
