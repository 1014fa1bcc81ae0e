/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stdio.h>

#include "cli/cli.h"

struct table {
    guint n_columns;
    GPtrArray *cells; /* row by row, headings first; owned strings */
};

struct table *table_new(const char *const *headings)
{
    struct table *table = g_new0(struct table, 1);
    table->cells = g_ptr_array_new_with_free_func(g_free);
    for (; headings[table->n_columns]; table->n_columns++)
        g_ptr_array_add(table->cells, g_strdup(headings[table->n_columns]));
    return table;
}

void table_row(struct table *table, const char *first, ...)
{
    va_list args;
    va_start(args, first);
    const char *cell = first;
    for (guint i = 0; i < table->n_columns; i++) {
        g_ptr_array_add(table->cells, g_strdup(cell && *cell ? cell : "-"));
        if (cell)
            cell = va_arg(args, const char *);
    }
    va_end(args);
}

void table_print(struct table *table)
{
    g_autofree glong *widths = g_new0(glong, table->n_columns);
    for (guint i = 0; i < table->cells->len; i++)
        widths[i % table->n_columns] =
            MAX(widths[i % table->n_columns], g_utf8_strlen(table->cells->pdata[i], -1));
    for (guint i = 0; i < table->cells->len; i++) {
        guint column = i % table->n_columns;
        const char *cell = table->cells->pdata[i];
        bool last = column + 1 == table->n_columns;
        fputs(cell, stdout);
        if (last)
            putchar('\n');
        else
            printf("%*s", (int)(widths[column] - g_utf8_strlen(cell, -1) + 2), "");
    }
    g_ptr_array_unref(table->cells);
    g_free(table);
}
