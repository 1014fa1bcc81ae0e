/* SPDX-License-Identifier: Apache-2.0 */
#include <stddef.h>

#include "store/statement.h"

int db_token_put(struct db *db, const struct db_token *token, struct err *err)
{
    return statement_run(db,
                         "INSERT INTO tokens VALUES (?,?,?) ON CONFLICT (name) DO UPDATE SET"
                         " hash=excluded.hash, created_ms=excluded.created_ms",
                         err, "tti", token->name, token->hash, token->created_ms);
}

int db_token_remove(struct db *db, const char *name, struct err *err)
{
    if (statement_run(db, "DELETE FROM tokens WHERE name=?", err, "t", name))
        return -1;
    return sqlite3_changes(db_connection(db)) == 1;
}

int db_token_list(struct db *db, void (*row)(const struct db_token *token, void *user), void *user,
                  struct err *err)
{
    sqlite3_stmt *statement = NULL;
    if (statement_start(db, "SELECT name, hash, created_ms FROM tokens ORDER BY name", &statement, err, ""))
        return -1;
    int more;
    while ((more = statement_step(db, statement, err)) == 1) {
        struct db_token token = {statement_text(statement, 0), statement_text(statement, 1),
                                 sqlite3_column_int64(statement, 2)};
        row(&token, user);
    }
    return more;
}
