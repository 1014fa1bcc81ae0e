/* SPDX-License-Identifier: Apache-2.0 */
#include <stddef.h>

#include "store/statement.h"

#define COLUMNS "id, number, client_key, final, document, internals"

int db_task_next_number(struct db *db, uint64_t *ret_number, struct err *err)
{
    sqlite3_stmt *statement = NULL;
    if (statement_start(db, "SELECT coalesce(max(number), 0) + 1 FROM tasks", &statement, err, ""))
        return -1;
    if (statement_step(db, statement, err) != 1)
        return -1;
    *ret_number = (uint64_t)sqlite3_column_int64(statement, 0);
    statement_end(statement);
    return 0;
}

int db_task_put(struct db *db, const struct db_task *task, struct err *err)
{
    return statement_run(db,
                         "INSERT INTO tasks (" COLUMNS ") VALUES (?,?,?,?,?,?) ON CONFLICT (id) DO UPDATE SET"
                         " final=excluded.final, document=excluded.document, internals=excluded.internals",
                         err, "tititt", task->id, (int64_t)task->number, task->client_key,
                         (int64_t)task->final, task->document, task->internals);
}

static void give_row(sqlite3_stmt *statement, db_task_row row, void *user)
{
    struct db_task task = {
        .id = statement_text(statement, 0),
        .number = (uint64_t)sqlite3_column_int64(statement, 1),
        .client_key = statement_text(statement, 2),
        .final = sqlite3_column_int(statement, 3) != 0,
        .document = statement_text(statement, 4),
        .internals = statement_text(statement, 5),
    };
    row(&task, user);
}

static int give_one(struct db *db, sqlite3_stmt *statement, db_task_row row, void *user, struct err *err)
{
    int found = statement_step(db, statement, err);
    if (found == 1) {
        give_row(statement, row, user);
        statement_end(statement);
    }
    return found;
}

static int give_all(struct db *db, sqlite3_stmt *statement, db_task_row row, void *user, struct err *err)
{
    int more;
    while ((more = statement_step(db, statement, err)) == 1)
        give_row(statement, row, user);
    return more;
}

int db_task_get(struct db *db, const char *id, db_task_row row, void *user, struct err *err)
{
    sqlite3_stmt *statement = NULL;
    if (statement_start(db, "SELECT " COLUMNS " FROM tasks WHERE id=?", &statement, err, "t", id))
        return -1;
    return give_one(db, statement, row, user, err);
}

int db_task_get_by_key(struct db *db, const char *client_key, db_task_row row, void *user, struct err *err)
{
    sqlite3_stmt *statement = NULL;
    if (statement_start(db, "SELECT " COLUMNS " FROM tasks WHERE client_key=?", &statement, err, "t",
                        client_key))
        return -1;
    return give_one(db, statement, row, user, err);
}

int db_task_list(struct db *db, unsigned limit, db_task_row row, void *user, struct err *err)
{
    sqlite3_stmt *statement = NULL;
    if (statement_start(db, "SELECT " COLUMNS " FROM tasks ORDER BY number DESC LIMIT ?", &statement, err,
                        "i", (int64_t)limit))
        return -1;
    return give_all(db, statement, row, user, err);
}

int db_task_list_open(struct db *db, db_task_row row, void *user, struct err *err)
{
    sqlite3_stmt *statement = NULL;
    if (statement_start(db, "SELECT " COLUMNS " FROM tasks WHERE final=0 ORDER BY number", &statement, err,
                        ""))
        return -1;
    return give_all(db, statement, row, user, err);
}
