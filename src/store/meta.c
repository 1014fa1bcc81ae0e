/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include <stddef.h>

#include "store/statement.h"

int db_meta_set(struct db *db, const char *key, const char *value, struct err *err)
{
    return statement_run(db, "INSERT INTO meta VALUES (?,?) ON CONFLICT DO UPDATE SET value=excluded.value",
                         err, "tt", key, value);
}

int db_meta_get(struct db *db, const char *key, char **ret_value, struct err *err)
{
    sqlite3_stmt *statement = NULL;
    if (statement_start(db, "SELECT value FROM meta WHERE key=?", &statement, err, "t", key))
        return -1;
    int found = statement_step(db, statement, err);
    if (found != 1)
        return found;
    *ret_value = strdup(statement_text(statement, 0));
    statement_end(statement);
    return *ret_value ? 1 : err_sys(err, ENOMEM, "database", "cannot read %s", key);
}
