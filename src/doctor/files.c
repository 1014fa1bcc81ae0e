/* SPDX-License-Identifier: Apache-2.0 */
#include "doctor/files.h"

#include <glib.h>

#define BYTES_MAX (1u << 20)

#include "base/cleanup.h"
#include "base/fdio.h"

char *files_text(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_autofree char *path = g_strdup_vprintf(format, args);
    va_end(args);
    auto_mem char *text = NULL;
    if (fdio_read_file(path, BYTES_MAX, &text, NULL) < 0)
        return NULL;
    return g_strchomp(g_utf8_make_valid(text, -1));
}

uint64_t files_number(const char *path, uint64_t fallback)
{
    g_autofree char *text = files_text("%s", path);
    guint64 value;
    return text && g_ascii_string_to_unsigned(text, 10, 0, G_MAXUINT64, &value, NULL) ? value : fallback;
}
