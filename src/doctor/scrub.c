/* SPDX-License-Identifier: Apache-2.0 */
#include "doctor/scrub.h"

#include <glib.h>

#define REMOVED "[removed]"

static const struct {
    const char *pattern;
    const char *replacement;
} secrets[] = {
    {"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*PRIVATE KEY-----|$)", REMOVED},
    {"gw[a-z]1\\.[A-Za-z0-9_.-]+", REMOVED},
    {"\\b[0-9a-fA-F]{32,}\\b", REMOVED},
    {"(?im)((token|secret|password|passphrase|psk|key)[\"']?\\s*[=:]\\s*[\"']?)[^\\s\"',}]+", "\\1" REMOVED},
    {"(?i)(Bearer )\\S+", "\\1" REMOVED},
};

char *scrub(const char *text)
{
    char *clean = g_utf8_make_valid(text, -1);
    for (size_t i = 0; i < G_N_ELEMENTS(secrets); i++) {
        g_autoptr(GRegex) regex = g_regex_new(secrets[i].pattern, G_REGEX_DOTALL | G_REGEX_OPTIMIZE, 0, NULL);
        g_autofree char *before = clean;
        clean = g_regex_replace(regex, before, -1, 0, secrets[i].replacement, 0, NULL);
        if (!clean) /* rather nothing than something that was not searched */
            return g_strdup(REMOVED);
    }
    return clean;
}
