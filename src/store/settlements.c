/* SPDX-License-Identifier: Apache-2.0 */
#include <stddef.h>

#include "store/statement.h"

int db_settlement_put(struct db *db, const char *uuid, const char *document, struct err *err)
{
    return statement_run(
        db, "INSERT INTO settlements VALUES (?,?) ON CONFLICT DO UPDATE SET document=excluded.document", err,
        "tt", uuid, document);
}

int db_settlement_remove(struct db *db, const char *uuid, struct err *err)
{
    return statement_run(db, "DELETE FROM settlements WHERE uuid=?", err, "t", uuid);
}

int db_settlement_list(struct db *db, void (*row)(const char *uuid, const char *document, void *user),
                       void *user, struct err *err)
{
    sqlite3_stmt *statement = NULL;
    if (statement_start(db, "SELECT uuid, document FROM settlements ORDER BY uuid", &statement, err, ""))
        return -1;
    int more;
    while ((more = statement_step(db, statement, err)) == 1)
        row(statement_text(statement, 0), statement_text(statement, 1), user);
    return more;
}
