/* SPDX-License-Identifier: Apache-2.0 */
#include <stddef.h>

#include "store/statement.h"

int db_pool_put(struct db *db, const char *path, const char *spec, struct err *err)
{
    return statement_run(db, "INSERT INTO pools VALUES (?,?) ON CONFLICT DO UPDATE SET spec=excluded.spec",
                         err, "tt", path, spec);
}

int db_pool_remove(struct db *db, const char *path, struct err *err)
{
    return statement_run(db, "DELETE FROM pools WHERE path=?", err, "t", path);
}

int db_pool_list(struct db *db, void (*row)(const char *path, const char *spec, void *user), void *user,
                 struct err *err)
{
    sqlite3_stmt *statement = NULL;
    if (statement_start(db, "SELECT path, spec FROM pools ORDER BY path", &statement, err, ""))
        return -1;
    int more;
    while ((more = statement_step(db, statement, err)) == 1)
        row(statement_text(statement, 0), statement_text(statement, 1), user);
    return more;
}
