/* SPDX-License-Identifier: Apache-2.0 */
#include "figures.h"
#include <stdio.h>

int figures_publish(const char *path, const char *text)
{
    char fresh[256];
    if (snprintf(fresh, sizeof fresh, "%s.new", path) >= (int)sizeof fresh)
        return -1;
    FILE *file = fopen(fresh, "we");
    if (!file)
        return -1;
    const int written = fputs(text, file);
    if (fclose(file) || written < 0)
        return -1;
    return rename(fresh, path);
}
