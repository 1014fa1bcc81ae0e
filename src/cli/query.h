/* SPDX-License-Identifier: Apache-2.0 */
/* Options that become the query of a request. What their values may be is the manager's to say. */
#ifndef CLI_QUERY_H
#define CLI_QUERY_H

#include "cli/cli.h"

#define QUERY_FIELDS_MAX 12

struct query_field {
    const char *name; /* of the option, and of the query's member */
    const char *help;
    const char *value;    /* its name in the help */
    const char *fallback; /* sent if the option is not given; NULL: nothing */
};
/* Takes the options out of argv and makes PATH?a=b&c=d of them; no other words may be left. NULL: said why
 * (exit CLI_USAGE). g_free. */
char *query_path(const char *path, const struct query_field *fields, int *argc, char ***argv);
/* One more member; both g_free. */
char *query_with(const char *path, const char *name, const char *value);

#endif
