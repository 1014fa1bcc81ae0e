/* SPDX-License-Identifier: Apache-2.0 */
#include <stddef.h>

#include "store/statement.h"

int db_meta_set(struct db *db, const char *key, const char *value, struct err *err)
{
    return statement_run(db, "INSERT INTO meta VALUES (?,?) ON CONFLICT DO UPDATE SET value=excluded.value",
                         err, "tt", key, value);
}

int db_is_restored(struct db *db, struct err *err)
{
    sqlite3_stmt *statement = NULL;
    if (statement_start(db, "SELECT 1 FROM meta WHERE key=?", &statement, err, "t", META_RESTORED))
        return -1;
    int found = statement_step(db, statement, err);
    if (found == 1)
        statement_end(statement);
    return found;
}

int db_restored_done(struct db *db, struct err *err)
{
    return statement_run(db, "DELETE FROM meta WHERE key=?", err, "t", META_RESTORED);
}

int db_meta_get(struct db *db, const char *key, void (*got)(const char *value, void *user), void *user,
                struct err *err)
{
    sqlite3_stmt *statement = NULL;
    if (statement_start(db, "SELECT value FROM meta WHERE key=?", &statement, err, "t", key))
        return -1;
    int found = statement_step(db, statement, err);
    if (found == 1) {
        got(statement_text(statement, 0), user);
        statement_end(statement);
    }
    return found;
}
